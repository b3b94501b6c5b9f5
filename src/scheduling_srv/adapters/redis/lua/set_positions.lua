--!include base job member outbox marker input
-- Begins partitions, or begins them anew when their topic was.
-- ARGV: lineage, now, then for each partition: name, stored offset or '' (none), position
-- Returns: 'ok' | 'not ready' | 'stale'
if not is_ready() then
    return {'not ready'}
end
local names, positions = {}, {}
for i = 3, #ARGV, 3 do
    if (redis.call('HGET', K.inputs, ARGV[i]) or '') ~= ARGV[i + 1] then
        return {'stale'}
    end
    push(names, ARGV[i])
    push(positions, ARGV[i + 2])
end
if lineage() ~= ARGV[1] then
    return {'stale'}
end
advance(table.concat(names, '\0'), table.concat(positions, '\0'), tonumber(ARGV[2]))
flush()
return {'ok'}
