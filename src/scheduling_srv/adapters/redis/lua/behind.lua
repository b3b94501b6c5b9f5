--!include base
-- Recovery: what is in the outbox by now may have waited for long. Nobody has seen those runs yet.
-- What is published already has been seen, however long ago: its time goes on.
-- ARGV: token, number of the last published entry
-- Returns: 'ok' | lost()
if not owns(ARGV[1]) then
    return lost()
end
redis.call('HSET', K.meta, 'late_place', number(meta('tail')), 'late_from', ARGV[2])
if redis.call('LLEN', K.outbox) > 0 then -- an older version may have filled it, and counted nothing
    redis.call('HSETNX', K.meta, 'outbox_longest', BUDGET / 4)
end
return 'ok'
