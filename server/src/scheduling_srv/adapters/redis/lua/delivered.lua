--!include base outbox parcels
--!args name ids...
-- Forgets a parcel whose effects are on Kafka.
-- Returns: 'ok' | 'not ready'
if not is_ready() then
    return {'not ready'}
end
if redis.call('HDEL', K.parcels, name) == 1 then
    for i = ids_at, #args do
        if redis.call('HGET', K.moving, args[i]) == name then
            redis.call('HDEL', K.moving, args[i])
        end
    end
    emit(TOMBSTONE .. parcel_key(name))
    flush()
end
return {'ok'}
