--!include base job member outbox marker
-- Makes the shard ready, counting on from a position.
-- ARGV: token, incarnation, last published entry, seq, instance, reset, cleared, when that was,
--       inputs as JSON, now
-- Returns: 'ok' | 'lost'
if not owns(ARGV[1]) then
    return 'lost'
end
redis.call('HSET', K.meta, 'incarnation', ARGV[2], 'tail', ARGV[3], 'trimmed', ARGV[3], 'taken', ARGV[3],
    'seq', ARGV[4], 'instance', ARGV[5], 'reset', ARGV[6], 'cleared', ARGV[7], 'watermark', ARGV[8])
for partition, offset in pairs(cjson.decode(ARGV[9])) do
    redis.call('HSET', K.inputs, partition, offset)
end
redis.call('HSET', K.meta, 'state', 'ready')
emit_marker(tonumber(ARGV[10])) -- so that Kafka knows the inputs from the first transaction on
flush()
return 'ok'
