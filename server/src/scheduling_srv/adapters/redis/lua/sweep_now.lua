--!include base job outbox remove
--!args cursor
-- Removes `now` jobs that a reset has made void: they are in no index, so the hash is scanned.
-- Returns: 'ok' | 'not ready', next cursor or '0' (all is swept)
if not is_ready() then
    return {'not ready'}
end
local reset = meta('reset')
if meta('swept') >= reset then
    return {'ok', '0'}
end
local scan = redis.call('HSCAN', K.jobs, cursor, 'COUNT', records_within(BUDGET, largest_record()))
local found = scan[2]
for i = 1, #found, 2 do
    local job = read_job(found[i + 1])
    if job.seq <= reset then
        remove_job(found[i], job)
        emit_deleted(found[i], false)
    end
end
if scan[1] == '0' then
    redis.call('HSET', K.meta, 'swept', number(reset))
end
flush()
return {'ok', scan[1]}
