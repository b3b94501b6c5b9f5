--!include base input outbox
--!args now:int partition expected position known request most:int
-- Notes a restore command, so that it is carried out whatever crashes.
-- `partition` to `known`: see `input.lua`.
-- `request`: as JSON. `most`: restores that may be noted.
-- Returns: 'ok' | 'not ready' | 'stale' | 'many', last entry, lineage
if not is_ready() then
    return {'not ready'}
end
if not is_next(partition, expected, known) then
    return {'stale'}
end
if redis.call('HLEN', K.restores) >= most then
    return {'many'}
end
redis.call('HSET', K.restores, redis.call('HINCRBY', K.meta, 'restores', 1), request)
redis.call('PUBLISH', K.wake, 'restore')
advance(partition, position, now)
return {'ok', flush(), lineage()}
