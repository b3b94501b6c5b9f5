--!include base job member outbox marker input
-- Begins a partition, or begins it anew when its topic was.
-- ARGV: partition, stored offset or '' (none), next offset, lineage, now
-- Returns: 'ok' | 'not ready' | 'stale'
if not is_ready() then
    return {'not ready'}
end
if (redis.call('HGET', K.inputs, ARGV[1]) or '') ~= ARGV[2] or lineage() ~= ARGV[4] then
    return {'stale'}
end
advance(ARGV[1], ARGV[3], tonumber(ARGV[5]))
flush()
return {'ok'}
