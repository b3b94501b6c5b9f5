--!include base job member outbox marker input
-- Notes a restore command, so that it is carried out whatever crashes.
-- ARGV: now, partition or '', stored offset, next offset, lineage, the request as JSON,
--       how many restores may be noted
-- Returns: 'ok' | 'not ready' | 'stale' | 'many', last entry, lineage
if not is_ready() then
    return {'not ready'}
end
if not is_next(ARGV[2], ARGV[3], ARGV[5]) then
    return {'stale'}
end
if redis.call('HLEN', K.restores) >= tonumber(ARGV[7]) then
    return {'many'}
end
redis.call('HSET', K.restores, redis.call('HINCRBY', K.meta, 'restores', 1), ARGV[6])
redis.call('PUBLISH', K.wake, 'restore')
advance(ARGV[2], ARGV[4], tonumber(ARGV[1]))
return {'ok', flush(), lineage()}
