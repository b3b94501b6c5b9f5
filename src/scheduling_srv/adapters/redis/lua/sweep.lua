--!include base job member limits outbox remove
-- Removes a piece of the resources that `clear.lua` has made void.
-- ARGV: most jobs
-- Returns: 'ok' | 'not ready', last entry, lineage, number of jobs removed
if not is_ready() then
    return {'not ready'}
end
local reset = meta('reset')
local last = math.max(reset, meta('cleared'))
local ids = redis.call('ZRANGE', K.created, '-inf', number(last), 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, id in ipairs(ids) do
    local job = read_job(redis.call('HGET', K.jobs, id))
    remove_job(id, job)
    remember_removed(id, job)
    emit_deleted(id, job.seq > reset)
end
return {'ok', flush(), lineage(), #ids}
