--!include base job outbox remove walk
--!args most:int
-- Removes a piece of the resources that `clear.lua` has made void.
-- `most`: jobs.
-- Returns: 'ok' | 'not ready', last entry, lineage, number of jobs removed, '1' if there may be
--          more
if not is_ready() then
    return {'not ready'}
end
local reset = meta('reset')
local last = math.max(reset, meta('cleared'))
local ids = {}
walk(function(list)
    return next_lists(K.created, list)
end, nil, false, function(seq, entry)
    if seq <= last and #ids < most then
        ids[#ids + 1] = listed_id(entry)
        return false
    end
    return true
end)
local removed, bytes = 0, BUDGET
for _, id in ipairs(ids) do
    if bytes <= 0 then
        break
    end
    local record = redis.call('HGET', K.jobs, id)
    local job = read_job(record)
    removed, bytes = removed + 1, bytes - #record
    remove_job(id, job)
    remember_removed(id, job)
    emit_deleted(id, job.seq > reset)
end
return {'ok', flush(), lineage(), removed, (removed < #ids or #ids == most) and '1' or '0'}
