--!include base job member outbox marker
-- Makes the shard ready, counting on from a position.
-- ARGV: token, incarnation, incarnation that it was rebuilt from or '', last published entry, seq, instance, reset, cleared, when that was,
--       positions as JSON, now
-- Returns: lineage | lost()
if not owns(ARGV[1]) then
    return lost()
end
redis.call('HSET', K.meta, 'incarnation', ARGV[2], 'origin', ARGV[3], 'tail', ARGV[4], 'trimmed', ARGV[4],
    'taken', ARGV[4], 'seq', ARGV[5], 'instance', ARGV[6], 'reset', ARGV[7], 'cleared', ARGV[8], 'watermark', ARGV[9])
for partition, position in pairs(cjson.decode(ARGV[10])) do
    redis.call('HSET', K.inputs, partition, (string.match(position, '^%d+')))
    if string.find(position, ' ', 1, true) then
        redis.call('HSET', K.origins, partition, position)
    end
end
redis.call('HSETNX', K.meta, 'largest', 0)
redis.call('HSET', K.meta, 'state', 'ready')
grouped = true
emit_all_inputs(tonumber(ARGV[11])) -- so that Kafka knows them from the first transaction on
flush()
return lineage()
