--!include base input outbox
--!args known now:int partitions...
--!row start name expected position
-- Begins partitions, or begins them anew when their topic was.
-- `known`: lineage of the store. `expected`: stored offset, '' for none.
-- Returns: 'ok' | 'not ready' | 'stale'
if not is_ready() then
    return {'not ready'}
end
local names, positions = {}, {}
for i = partitions_at, #args, START_ROW do
    local name, expected, position = start_row(i)
    if (redis.call('HGET', K.inputs, name) or '') ~= expected then
        return {'stale'}
    end
    push(names, name)
    push(positions, position)
end
if lineage() ~= known then
    return {'stale'}
end
advance(table.concat(names, '\0'), table.concat(positions, '\0'), now)
flush()
return {'ok'}
