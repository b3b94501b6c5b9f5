--!include base job limits outbox remove
-- Deletes the oldest jobs up to a creation number: a piece of "delete all", or of a reset.
-- ARGV: last seq or '' (the newest there is), most jobs, 'delete' or 'reset'
-- Returns: 'ok' | 'not ready', last entry, incarnation, number of jobs deleted, last seq
if not is_ready() then
    return {'not ready'}
end
local last = ARGV[1] ~= '' and ARGV[1] or number(meta('seq'))
local ids = redis.call('ZRANGE', K.created, '-inf', last, 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do
    local job = read_job(redis.call('HGET', K.jobs, id))
    remove_job(id, job)
    if ARGV[3] == 'delete' then
        emit_deleted(id, true)
    end
end
return {'ok', flush(), redis.call('HGET', K.meta, 'incarnation'), #ids, last}
