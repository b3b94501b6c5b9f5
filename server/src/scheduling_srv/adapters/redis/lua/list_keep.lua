--!include base lists moving outbox room writing
--!args token piece:int lasts:int bounds mode named jobs...
-- Keeps a piece of a long list, undecided; from here on nobody else changes its jobs.
-- `lasts`: ms that the list stays open. `bounds`: see `is_full`. `mode`: of the list, or 'delete'.
-- `named`: '1' if the client has named ids.
-- Returns: 'ok' | 'not ready' | 'full' | 'crowded' | 'gone' | 'large' (what it replaces: keep fewer
--          at once) | 'moving' | 'exists' | 'missing' | 'stale' | 'elapsed', place of the job; with 'ok' the
--          last entry and the lineage
if not is_ready() then
    return {'not ready'}
end
local size = (#args - jobs_at + 1) / JOB_ROW
if mode ~= 'delete' then -- a delete goes on in a full Redis: it makes room
    if is_full(bounds) then
        return {'full'}
    end
    if is_crowded() then
        return {'crowded'}
    end
end
if piece > 1 and read_list(token).state ~= 'open' then
    return {'gone'}
end
if size > 1 and mode ~= 'create' and count_bytes(jobs_at, size, JOB_ROW) > REPLACED_BYTES then
    return {'large'}
end
local place = find_moving(jobs_at, size, JOB_ROW)
if place then
    return {'moving', place}
end
if mode ~= 'delete' then
    local fault, found = check(mode, jobs_at, size, named == '1')
    if fault then
        return {fault, found}
    end
end
local key = K.list .. token
local value = pack_piece(mode, jobs_at, size)
if piece == 1 then
    redis.call('SADD', K.lists, token)
    redis.call('HSET', key, 'state', 'open', 'clears', clears(), 'next', '1')
end
local name = number(piece)
redis.call('HSET', key, 'until', number(clock() + lasts), 'last', name, name, value)
if named == '1' then
    for i = jobs_at, #args, JOB_ROW do
        redis.call('HSET', K.moving, args[i], token)
    end
end
emit_piece(token, piece, value)
return {'ok', flush(), lineage()}
