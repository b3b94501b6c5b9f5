--!include base
-- What the listener has applied.
-- Returns: 'ok' | 'not ready', lineage, names and next offsets, names and origins
if not is_ready() then
    return {'not ready'}
end
return {'ok', lineage(), redis.call('HGETALL', K.inputs), redis.call('HGETALL', K.origins)}
