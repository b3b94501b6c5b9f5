--!include base job limits outbox remove
-- Removes `now` jobs that a reset has made void: they are in no index, so the hash is scanned.
-- ARGV: last seq, cursor
-- Returns: 'ok' | 'not ready', next cursor
if not is_ready() then
    return {'not ready'}
end
local scan = redis.call('HSCAN', K.jobs, ARGV[2], 'COUNT', BATCH)
local found = scan[2]
for i = 1, #found, 2 do
    local job = read_job(found[i + 1])
    if job.seq <= tonumber(ARGV[1]) then
        remove_job(found[i], job)
    end
end
return {'ok', scan[1]}
