-- Positions of the listener: a partition's records are applied in order, each once (docs/contract.md).

-- Whether the consumer knows the store and where it is. No partition: the change is not a record's.
local function is_next(partition, expected, known)
    if partition == '' then
        return true
    end
    local stored = redis.call('HGET', K.inputs, partition)
    return known == lineage() and (not stored or expected == stored)
end

local function advance(partition, next, now)
    if partition ~= '' then
        grouped = true -- effects of a record and the position behind it
        redis.call('HSET', K.inputs, partition, next)
        emit_marker(now)
    end
end
