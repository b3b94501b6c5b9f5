--!include base job member outbox marker
-- Notes how a log on Kafka was seen: it holds all that it has to.
-- ARGV: token, field of meta, the log (`id start end`), now to have a position written as well, or ''
-- Returns: 'ok' | lost()
if not owns(ARGV[1]) then
    return lost()
end
redis.call('HSET', K.meta, ARGV[2], ARGV[3])
if ARGV[4] ~= '' and is_ready() then
    emit_marker(tonumber(ARGV[4]))
    flush()
end
return 'ok'
