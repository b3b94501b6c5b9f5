--!include base job member limits outbox marker remove run answer
-- Counts runs without an answer as failed (CONTRACT 3.3).
-- ARGV: token, now, completion timeout ms, cap of the backoff in ms, most runs
-- Returns: 'ok' | 'lost', number of runs looked at
if not owns(ARGV[1]) then
    return {'lost'}
end
local now, trimmed, first = tonumber(ARGV[2]), meta('trimmed'), nil
local late = redis.call('ZRANGE', K.running, '-inf', number(now - tonumber(ARGV[3])), 'BYSCORE', 'LIMIT', 0, ARGV[5])
for _, instance in ipairs(late) do
    local _, _, _, place = struct.unpack(RUN, redis.call('HGET', K.runs, instance))
    if place > trimmed then
        redis.call('ZADD', K.running, now, instance) -- nobody has seen it yet: its time begins now
    else
        local _, due = end_run(instance, true, now, tonumber(ARGV[4]))
        first = due and math.min(first or due, due) or first
    end
end
if #late > 0 then
    emit_marker(now)
end
flush(first)
return {'ok', #late}
