--!include presence
-- Who holds the lease.
-- Returns: token or '', ms that the lease still lasts, '1' if its holder was connected and is not
--          any more
local held = redis.call('GET', K.lease)
if not held then
    return {'', 0, '0'}
end
local gone = redis.call('HGET', K.meta, 'present') == held and not is_here(held)
return {held, redis.call('PTTL', K.lease), gone and '1' or '0'}
