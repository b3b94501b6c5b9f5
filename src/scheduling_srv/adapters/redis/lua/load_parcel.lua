--!include base
-- Rebuild: a parcel that may not have been delivered.
-- ARGV: token, name, value, ids in it ...
-- Returns: 'ok' | lost()
if not owns(ARGV[1]) then
    return lost()
end
redis.call('HSET', K.parcels, ARGV[2], ARGV[3])
for i = 4, #ARGV do
    redis.call('HSET', K.moving, ARGV[i], ARGV[2])
end
return 'ok'
