--!include base
--!args token known
-- Recovery: the owner has compared this life of the store with Kafka. `known`: its lineage.
-- Returns: 'ok' | lost()
if not owns(token) then
    return lost()
end
if lineage() == known then -- else `take` says so
    redis.call('HSET', K.meta, 'compared', known)
end
return 'ok'
