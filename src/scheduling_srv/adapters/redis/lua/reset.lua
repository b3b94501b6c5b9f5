--!include base job limits outbox marker remove
-- Makes all jobs up to now void: nothing of them is staged from here on (CONTRACT 4).
-- ARGV: now
-- Returns: 'ok' | 'not ready', last entry, incarnation, last seq
if not is_ready() then
    return {'not ready'}
end
local last = number(meta('seq'))
redis.call('HSET', K.meta, 'reset', last)
redis.call('UNLINK', K.runs, K.running, K.types)
emit_marker(tonumber(ARGV[1]))
return {'ok', flush(), redis.call('HGET', K.meta, 'incarnation'), last}
