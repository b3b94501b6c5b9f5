--!include base marker outbox
-- Positions of the listener: a partition's records are applied in order, each once
-- (docs/contract.md). Scripts that apply a record have these arguments:
-- `partition`: `topic:partition` of the record, '' for a call.
-- `expected`: the offset that the consumer believes to be stored.
-- `position`: where the partition goes on: '<next offset>', or '<next offset> <time stamp> <topic id>'
-- (decision 8).
-- `known`: lineage of the store that the consumer knows.
-- A call that moves several partitions has the first three of all of them, with NUL between.
local function each_of(text)
    return string.gmatch(text, '[^%z]+')
end

-- Whether the consumer knows the store and where it is. No partition: the change is not a record's.
local function is_next(partition, expected, known)
    if partition == '' then
        return true
    end
    if known ~= lineage() then
        return false
    end
    local next_expected = each_of(expected)
    for name in each_of(partition) do
        local stored = redis.call('HGET', K.inputs, name)
        if next_expected() ~= stored and stored then
            return false
        end
    end
    return true
end

-- Moves partitions, and says so in one marker.
local function advance(partition, position, now)
    if partition == '' then
        return
    end
    grouped = true -- effects of a record and the position behind it
    local moved, next_position = {}, each_of(position)
    for name in each_of(partition) do
        local text = next_position()
        redis.call('HSET', K.inputs, name, (string.match(text, '^%d+')))
        if string.find(text, ' ', 1, true) then
            redis.call('HSET', K.origins, name, text)
        end
        moved[#moved + 1] = name
        moved[#moved + 1] = text
    end
    emit_marker(now, moved)
end
