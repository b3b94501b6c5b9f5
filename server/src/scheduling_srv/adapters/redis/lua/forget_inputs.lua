--!include base marker outbox
--!args known now:int partitions...
--!row moved name expected
-- Forgets partitions that are gone.
-- `known`: lineage of the store.
-- Returns: 'ok' | 'not ready' | 'stale'
if not is_ready() then
    return {'not ready'}
end
local gone = {}
for i = partitions_at, #args, MOVED_ROW do
    local name, expected = moved_row(i)
    if lineage() ~= known or redis.call('HGET', K.inputs, name) ~= expected then
        return {'stale'}
    end
    gone[#gone + 1] = name
end
in_batches('HDEL', K.inputs, gone)
in_batches('HDEL', K.origins, gone)
emit_marker(now, nil, gone)
flush()
return {'ok'}
