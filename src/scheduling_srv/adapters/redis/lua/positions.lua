--!include base
-- What the listener has applied.
-- Returns: 'ok' | 'not ready', incarnation, then for each partition: its name, next offset
if not is_ready() then
    return {'not ready'}
end
return {'ok', redis.call('HGET', K.meta, 'incarnation'), unpack(redis.call('HGETALL', K.inputs))}
