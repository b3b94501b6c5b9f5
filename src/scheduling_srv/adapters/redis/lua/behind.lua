--!include base
-- Recovery: what is in the outbox by now may have waited for long. Nobody has seen those runs yet.
-- ARGV: token
-- Returns: 'ok' | 'lost'
if not owns(ARGV[1]) then
    return 'lost'
end
redis.call('HSET', K.meta, 'late_place', number(meta('tail')))
return 'ok'
