--!include base
-- What is on its way to other shards.
-- Returns: 'ok' | 'not ready' (or not compared: one that was lost is not delivered), then for each
--          parcel: name, '1' if it is on Kafka, value
if not is_ready() or not is_compared() then
    return {'not ready'}
end
local trimmed, result = meta('trimmed'), {'ok'}
local parcels = redis.call('HGETALL', K.parcels)
for i = 1, #parcels, 2 do
    push(result, parcels[i], tonumber(parcels[i]) + 2 <= trimmed and '1' or '0') -- see `send`
    result[#result + 1] = parcels[i + 1]
end
return result
