--!include base intervals presence upgrade
--!args owner lease dead
-- Takes the lease if nobody holds it, or if its holder is dead.
-- `lease`: ms. `dead`: the token of a holder that was found dead, or ''.
-- Its holder may write: so the format is noted, also after Redis was emptied.
-- Returns: token or ''
check_format(meta('format'))
local held = redis.call('GET', K.lease)
if held and (held ~= dead or is_here(held)) then
    return ''
end
local token = owner .. ':' .. redis.call('HINCRBY', K.meta, 'epoch', 1)
if meta('format') < FORMAT_WRITTEN then
    note_format(FORMAT_WRITTEN)
end
redis.call('SET', K.lease, token, 'PX', lease)
log_owner(token, tonumber(clock_ms()))
return token
