--!include base
-- What the listener has applied.
-- Returns: 'ok' | 'not ready', lineage, then for each partition: its name, next offset
if not is_ready() then
    return {'not ready'}
end
return {'ok', lineage(), unpack(redis.call('HGETALL', K.inputs))}
