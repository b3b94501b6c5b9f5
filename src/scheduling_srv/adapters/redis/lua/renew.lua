--!include base presence
-- Extends the lease, says whether due jobs are being emitted, or (lease 0) gives the lease back.
-- ARGV: token, lease ms, '1' if the owner's loops work
-- Returns: 'ok' | lost()
if not owns(ARGV[1]) then
    return lost()
end
if ARGV[2] == '0' then
    redis.call('DEL', K.lease, K.emitting)
    redis.call('PUBLISH', K.wake, 'released')
    return 'ok'
end
redis.call('PEXPIRE', K.lease, ARGV[2])
if redis.call('HGET', K.meta, 'present') ~= ARGV[1] and is_here(ARGV[1]) then
    redis.call('HSET', K.meta, 'present', ARGV[1]) -- from now on its absence means something
end
if ARGV[3] == '1' then
    redis.call('SET', K.emitting, ARGV[1], 'PX', ARGV[2])
else
    redis.call('DEL', K.emitting)
end
return 'ok'
