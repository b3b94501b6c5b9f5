--!include base job member outbox marker
-- Forgets partitions that are gone.
-- ARGV: lineage, now, then for each partition: name, stored offset
-- Returns: 'ok' | 'not ready' | 'stale'
if not is_ready() then
    return {'not ready'}
end
local gone = {}
for i = 3, #ARGV, 2 do
    if lineage() ~= ARGV[1] or redis.call('HGET', K.inputs, ARGV[i]) ~= ARGV[i + 1] then
        return {'stale'}
    end
    gone[#gone + 1] = ARGV[i]
end
in_batches('HDEL', K.inputs, gone)
in_batches('HDEL', K.origins, gone)
emit_marker(tonumber(ARGV[2]), nil, gone)
flush()
return {'ok'}
