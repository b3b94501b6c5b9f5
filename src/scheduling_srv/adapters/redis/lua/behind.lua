--!include base
-- Recovery: what is in the outbox by now may have waited for long. Nobody has seen those runs yet.
-- What is published already has been seen, however long ago: its time goes on.
-- ARGV: token, number of the last published entry
-- Returns: 'ok' | 'lost'
if not owns(ARGV[1]) then
    return 'lost'
end
redis.call('HSET', K.meta, 'late_place', number(meta('tail')), 'late_from', ARGV[2])
return 'ok'
