--!include base late marker outbox upgrade
--!args token incarnation origin published seq instance reset cleared watermark format:int inputs now:int
-- Makes the shard ready, counting on from a position.
-- `origin`: incarnation that it was rebuilt from, or ''. `published`: number of the last entry on
-- Kafka.
-- `format`: of what may be stored; one that is noted already counts if it is later.
-- `inputs`: positions as JSON.
-- Returns: lineage | lost()
if not owns(token) then
    return lost()
end
redis.call('HSET', K.meta, 'incarnation', incarnation, 'origin', origin, 'tail', published,
    'trimmed', published, 'taken', published, 'seq', seq, 'instance', instance, 'reset', reset,
    'cleared', cleared, 'watermark', watermark)
note_format(math.max(meta('format'), format))
for partition, position in pairs(cjson.decode(inputs)) do
    redis.call('HSET', K.inputs, partition, (string.match(position, '^%d+')))
    if string.find(position, ' ', 1, true) then
        redis.call('HSET', K.origins, partition, position)
    end
end
redis.call('HSETNX', K.meta, 'largest', 0)
redis.call('HSET', K.meta, 'compared', lineage(), 'state', 'ready')
note_rebuilt(now)
grouped = true
emit_all_inputs(now) -- so that Kafka knows them from the first transaction on
flush()
return lineage()
