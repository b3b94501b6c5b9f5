--!include base
-- Makes the shard ready. With a number: counting on from Kafka's position.
-- ARGV: token, incarnation, then nothing, or: last published entry, seq, instance, reset, when it was
--       published, inputs as JSON
-- Returns: 'ok' | 'lost'
if not owns(ARGV[1]) then
    return 'lost'
end
redis.call('HSET', K.meta, 'incarnation', ARGV[2])
if ARGV[3] then
    redis.call('HSET', K.meta, 'tail', ARGV[3], 'trimmed', ARGV[3], 'taken', ARGV[3], 'seq', ARGV[4], 'instance', ARGV[5],
        'reset', ARGV[6], 'watermark', ARGV[7])
    for partition, offset in pairs(cjson.decode(ARGV[8])) do
        redis.call('HSET', K.inputs, partition, offset)
    end
end
redis.call('HSET', K.meta, 'state', 'ready')
return 'ok'
