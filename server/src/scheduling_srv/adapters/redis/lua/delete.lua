--!include base input intervals job moving outbox remove within
--!args now:int partition expected position known within ids...
-- Deletes jobs by id; what does not exist, or is not within the limits, is no error.
-- `partition` to `known`: see `input.lua`. `within`: see `within.lua`.
-- Returns: 'ok' | 'not ready' | 'stale' | 'moving' (a long list changes one of them), last entry,
--          lineage, number of ids that it has come to: what it takes out may be too much for one
--          call. Then a call from a record has done nothing, and has come to none.
if not is_ready() then
    return {'not ready'}
end
if not is_next(partition, expected, known) then
    return {'stale'}
end
if find_moving(ids_at, #args - ids_at + 1, 1) then
    return {'moving'}
end
local bytes, last, deleted, farewells = 0, ids_at - 1, 0, {}
local limits = limits_in(within)
for i = ids_at, #args do
    bytes = bytes + redis.call('HSTRLEN', K.jobs, args[i])
    if bytes > REPLACED_BYTES and i > ids_at then
        break
    end
    last = i
end
if partition ~= '' and last < #args then
    return {'ok', 0, '', 0}
end
for i = ids_at, last do
    local record = redis.call('HGET', K.jobs, args[i])
    if record and is_within(limits, record) then
        local job = read_job(record)
        remove_job(args[i], job)
        remember_removed(args[i], job)
        emit_deleted(args[i], is_resource(job.kind))
        farewells[#farewells + 1] = farewell_text(args[i], job.seq, GONE_DELETED, now)
        deleted = deleted + 1
    end
end
log_all(K.farewells, farewells)
advance(partition, position, now)
return {'ok', flush(deleted > 0 and now or nil), lineage(), last - ids_at + 1}
