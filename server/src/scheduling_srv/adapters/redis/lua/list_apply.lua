--!include base job lists outbox parcels putting writing
--!args now:int token
-- Applies the next piece of a decided list.
-- Returns: 'ok' | 'not ready' | 'gone' (there is none, or it is not decided), last entry, lineage,
--          number of pieces that are left
if not is_ready() then
    return {'not ready'}
end
local due
local list = read_list(token)
if list.state ~= 'decided' then
    return {'gone'}
end
local reset, cleared = meta('reset'), meta('cleared')
local at = #args + 1
local mode = each_job_of(redis.call('HGET', K.list .. token, number(list.next)) or '', function(id, first_due, record)
    unmark(token, id)
    local void = list.seq <= reset or (list.seq <= cleared and record ~= '' and is_resource((read_places(record))))
    if not void then
        push(args, id, number(first_due)) -- where `put` reads
        args[#args + 1] = record
    end
end)
local size = (#args - at + 1) / JOB_ROW
if mode == 'delete' then
    for i = at, #args, JOB_ROW do
        drop_job(args[i], now)
        due = now
    end
elseif size > 0 then
    if mode == 'create' then
        find_existing(at, size) -- finished jobs, whose ids these may take
    end
    due = put(mode, at, size, now)
end
grouped = true -- what it does, and that it is done
end_piece(token, list)
return {'ok', flush(due), lineage(), list.last - list.next}
