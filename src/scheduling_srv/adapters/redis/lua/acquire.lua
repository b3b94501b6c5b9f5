--!include base
-- Takes the lease if nobody holds it.
-- ARGV: owner, lease ms
-- Returns: token or ''
if redis.call('EXISTS', K.lease) == 1 then
    return ''
end
local token = ARGV[1] .. ':' .. redis.call('HINCRBY', K.meta, 'epoch', 1)
redis.call('SET', K.lease, token, 'PX', ARGV[2])
redis.call('DEL', K.emitting) -- whoever held it before does not emit any more
return token
