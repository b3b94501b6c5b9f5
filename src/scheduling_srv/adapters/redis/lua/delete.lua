--!include base job member limits outbox marker order remove input moving
-- Deletes jobs by id; what does not exist is no error.
-- ARGV: now, partition or '', stored offset, next offset, lineage, ids ...
-- Returns: 'ok' | 'not ready' | 'stale' | 'moving' (a long list changes one of them), last entry, lineage,
--          number of ids that it has come to: what it takes out may be too much for one call. Then a call
--          from a record has done nothing, and has come to none.
if not is_ready() then
    return {'not ready'}
end
if not is_next(ARGV[2], ARGV[3], ARGV[5]) then
    return {'stale'}
end
if find_moving(6, #ARGV - 5, 1) then
    return {'moving'}
end
local bytes, last, deleted = 0, 5, 0
for i = 6, #ARGV do
    bytes = bytes + redis.call('HSTRLEN', K.jobs, ARGV[i])
    if bytes > REPLACED_BYTES and i > 6 then
        break
    end
    last = i
end
if ARGV[2] ~= '' and last < #ARGV then
    return {'ok', 0, '', 0}
end
for i = 6, last do
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
return {'ok', flush(deleted > 0 and now or nil), lineage(), last - 5}
