--!include base presence
-- Takes the lease if nobody holds it, or if its holder is dead.
-- ARGV: owner, lease ms, token whose holder was found dead or ''
-- Returns: token or ''
local held = redis.call('GET', K.lease)
if held and (held ~= ARGV[3] or is_here(held)) then
    return ''
end
local token = ARGV[1] .. ':' .. redis.call('HINCRBY', K.meta, 'epoch', 1)
redis.call('SET', K.lease, token, 'PX', ARGV[2])
return token
