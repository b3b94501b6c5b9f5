--!include base presence upgrade
--!args token writes:int raises
-- Raises the format of the stored data, unless a replica is connected that does not read the new one.
-- `raises`: '1'; else it only looks.
-- Returns: 'ok' | lost(), 'raised' (it is the new one, or a later one) | 'blind' (Redis does not say who is
--          connected) | 'older', 'alone', the name of a replica that does not read it or ''
if not owns(token) then
    return {lost()}
end
if meta('format') >= writes then
    return {'ok', 'raised', ''}
end
local older = older_replica(writes, token)
if older then
    return {'ok', 'older', older}
elseif older == nil then
    return {'ok', 'blind', ''}
elseif raises ~= '1' then
    return {'ok', 'alone', ''}
end
raise_format(writes)
return {'ok', 'raised', ''}
