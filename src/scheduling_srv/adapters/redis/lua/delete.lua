--!include base job member limits outbox marker order remove input
-- Deletes jobs by id; what does not exist is no error.
-- ARGV: now, partition or '', stored offset, next offset, lineage, ids ...
-- Returns: 'ok' | 'not ready' | 'stale', last entry, lineage, number of jobs deleted
if not is_ready() then
    return {'not ready'}
end
if not is_next(ARGV[2], ARGV[3], ARGV[5]) then
    return {'stale'}
end
local deleted = 0
for i = 6, #ARGV do
    local record = redis.call('HGET', K.jobs, ARGV[i])
    if record then
        local job = read_job(record)
        remove_job(ARGV[i], job)
        remember_removed(ARGV[i], job)
        emit_deleted(ARGV[i], job.kind ~= NOW)
        deleted = deleted + 1
    end
end
local now = tonumber(ARGV[1])
advance(ARGV[2], ARGV[4], now)
return {'ok', flush(deleted > 0 and now or nil), lineage(), deleted}
