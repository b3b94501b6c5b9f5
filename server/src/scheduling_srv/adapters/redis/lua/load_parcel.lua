--!include base
--!args token name value ids...
-- Rebuild: a parcel that may not have been delivered.
-- Returns: 'ok' | lost()
if not owns(token) then
    return lost()
end
redis.call('HSET', K.parcels, name, value)
for i = ids_at, #args do
    redis.call('HSET', K.moving, args[i], name)
end
return 'ok'
