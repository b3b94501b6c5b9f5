--!include base presence
--!args token lease working
-- Extends the lease, says whether due jobs are being emitted, or (lease 0) gives the lease back.
-- `lease`: ms. `working`: '1' if the owner's loops work.
-- Returns: 'ok' | lost()
if not owns(token) then
    return lost()
end
if lease == '0' then
    redis.call('DEL', K.lease, K.emitting)
    redis.call('PUBLISH', K.wake, 'released')
    return 'ok'
end
redis.call('PEXPIRE', K.lease, lease)
if redis.call('HGET', K.meta, 'present') ~= token and is_here(token) then
    redis.call('HSET', K.meta, 'present', token) -- from now on its absence means something
end
if working == '1' then
    redis.call('SET', K.emitting, token, 'PX', lease)
else
    redis.call('DEL', K.emitting)
end
return 'ok'
