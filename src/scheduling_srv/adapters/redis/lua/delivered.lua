--!include base job member limits outbox order remove parcels
-- Forgets a parcel whose effects are on Kafka.
-- ARGV: name, ids in it ...
-- Returns: 'ok' | 'not ready'
if not is_ready() then
    return {'not ready'}
end
if redis.call('HDEL', K.parcels, ARGV[1]) == 1 then
    for i = 2, #ARGV do
        if redis.call('HGET', K.moving, ARGV[i]) == ARGV[1] then
            redis.call('HDEL', K.moving, ARGV[i])
        end
    end
    emit('X' .. parcel_key(ARGV[1]))
    flush()
end
return {'ok'}
