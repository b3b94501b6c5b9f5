--!include presence
--!args owner lease dead
-- Takes the lease if nobody holds it, or if its holder is dead.
-- `lease`: ms. `dead`: the token of a holder that was found dead, or ''.
-- Returns: token or ''
local held = redis.call('GET', K.lease)
if held and (held ~= dead or is_here(held)) then
    return ''
end
local token = owner .. ':' .. redis.call('HINCRBY', K.meta, 'epoch', 1)
redis.call('SET', K.lease, token, 'PX', lease)
return token
