--!include base room job member limits outbox marker order remove input definition keeping replacing writing moving lists
-- Keeps a piece of a long list, undecided; from here on nobody else changes its jobs.
-- ARGV: now, token, number of the piece, ms that the list stays open, bounds of the outbox (see
--       `is_full`), mode or 'delete', '1' if the client has named ids, then for each job: id, due ms, record
-- Returns: 'ok' | 'not ready' | 'full' | 'crowded' | 'gone' | 'large' (what it replaces: keep fewer at
--          once) | 'moving' | 'exists' | 'missing' | 'elapsed', place of the job
if not is_ready() then
    return {'not ready'}
end
local token, piece, mode = ARGV[2], tonumber(ARGV[3]), ARGV[6]
local at, size = 8, (#ARGV - 7) / 3
if mode ~= 'delete' then -- a delete goes on in a full Redis: it makes room
    if is_full(ARGV[5]) then
        return {'full'}
    end
    if is_crowded() then
        return {'crowded'}
    end
end
if piece > 1 and read_list(token).state ~= 'open' then
    return {'gone'}
end
if size > 1 and mode ~= 'create' and count_bytes(at, size, 3) > REPLACED_BYTES then
    return {'large'}
end
local place = find_moving(at, size, 3)
if place then
    return {'moving', place}
end
if mode ~= 'delete' then
    local fault, found = check(mode, at, size)
    if fault then
        return {fault, found}
    end
end
local key = K.list .. token
local value = pack_piece(mode, at, size)
if piece == 1 then
    redis.call('SADD', K.lists, token)
    redis.call('HSET', key, 'state', 'open', 'clears', clears(), 'next', '1')
end
redis.call('HSET', key, 'until', number(clock() + tonumber(ARGV[4])), 'last', ARGV[3], ARGV[3], value)
if ARGV[7] == '1' then
    for i = at, #ARGV, 3 do
        redis.call('HSET', K.moving, ARGV[i], token)
    end
end
emit_piece(token, piece, value)
return {'ok', flush()}
