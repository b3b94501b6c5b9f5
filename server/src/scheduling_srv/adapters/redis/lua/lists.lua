--!include base
-- The long lists that are open, decided, or being dropped.
-- Returns: 'ok' | 'not ready', tokens ...
if not is_ready() then
    return {'not ready'}
end
return {'ok', unpack(redis.call('SMEMBERS', K.lists))}
