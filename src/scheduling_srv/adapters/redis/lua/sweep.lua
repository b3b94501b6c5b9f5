--!include base job member limits outbox order walk remove
-- Removes a piece of the resources that `clear.lua` has made void.
-- ARGV: most jobs
-- Returns: 'ok' | 'not ready', last entry, lineage, number of jobs removed
if not is_ready() then
    return {'not ready'}
end
local reset = meta('reset')
local last = math.max(reset, meta('cleared'))
local ids, most = {}, tonumber(ARGV[1])
walk(K.created, nil, false, function(seq, id)
    if seq <= last and #ids < most then
        ids[#ids + 1] = id
        return false
    end
    return true
end)
for _, id in ipairs(ids) do
    local job = read_job(redis.call('HGET', K.jobs, id))
    remove_job(id, job)
    remember_removed(id, job)
    emit_deleted(id, job.seq > reset)
end
return {'ok', flush(), lineage(), #ids}
