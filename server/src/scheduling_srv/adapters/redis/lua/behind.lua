--!include base
--!args token published
-- Recovery: what is in the outbox by now may have waited for long. Nobody has seen those runs yet.
-- What is published already has been seen, however long ago: its time goes on.
-- `published`: number of the last entry on Kafka.
-- Returns: 'ok' | lost()
if not owns(token) then
    return lost()
end
redis.call('HSET', K.meta, 'late_place', number(meta('tail')), 'late_from', published)
if redis.call('LLEN', K.outbox) > 0 then -- an older version may have filled it, and counted nothing
    redis.call('HSETNX', K.meta, 'outbox_longest', BUDGET / 4)
end
return 'ok'
