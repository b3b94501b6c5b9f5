--!include base
-- How far this Redis has got.
-- Returns: '1' if ready, incarnation, where its content came from, lineage, trimmed, taken, format,
--          1 if an owner has compared it with Kafka, news of refused jobs as JSON ...
local function text(field)
    return redis.call('HGET', K.meta, field) or ''
end
return {is_ready() and '1' or '0', text('incarnation'), text('origin'), lineage(), meta('trimmed'), meta('taken'), meta('format'),
    is_compared() and 1 or 0, unpack(redis.call('LRANGE', K.refused, 0, -1))}
