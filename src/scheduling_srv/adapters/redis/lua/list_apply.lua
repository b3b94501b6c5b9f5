--!include base job member limits outbox marker order remove input definition keeping replacing writing putting parcels lists
-- Applies the next piece of a decided list.
-- ARGV: now, token
-- Returns: 'ok' | 'not ready' | 'gone' (there is none, or it is not decided), last entry, lineage, number
--          of pieces that are left
if not is_ready() then
    return {'not ready'}
end
local now, token, due = tonumber(ARGV[1]), ARGV[2], nil
local list = read_list(token)
if list.state ~= 'decided' then
    return {'gone'}
end
local reset, cleared = meta('reset'), meta('cleared')
local at = #ARGV + 1
local mode = each_of(redis.call('HGET', K.list .. token, number(list.next)) or '', function(id, first_due, record)
    unmark(token, id)
    local void = list.seq <= reset or (list.seq <= cleared and record ~= '' and read_places(record) ~= NOW)
    if not void then
        push(ARGV, id, number(first_due)) -- where `put` reads
        ARGV[#ARGV + 1] = record
    end
end)
local size = (#ARGV - at + 1) / 3
if mode == 'delete' then
    for i = at, #ARGV, 3 do
        drop_job(ARGV[i])
        due = now
    end
elseif size > 0 then
    due = put(mode, at, size, now)
end
grouped = true -- what it does, and that it is done
end_piece(token, list)
return {'ok', flush(due), lineage(), list.last - list.next}
