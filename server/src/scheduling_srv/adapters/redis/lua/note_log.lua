--!include base marker outbox
--!args token field log now:int
-- Notes how a log on Kafka was seen: it holds all that it has to.
-- `field`: of `meta`. `log`: `id start end`. `now`: to have a position written as well, or ''.
-- Returns: 'ok' | lost()
if not owns(token) then
    return lost()
end
redis.call('HSET', K.meta, field, log)
if now and is_ready() then
    emit_marker(now)
    flush()
end
return 'ok'
