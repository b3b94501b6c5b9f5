--!include base job member limits outbox marker order remove input
-- Makes all jobs up to now void: nothing of them is staged from here on. `sweep.lua` removes them.
-- ARGV: now, partition or '', stored offset, next offset, lineage, 'cleared' (every resource; each
--       removal is announced) or 'reset' (every job and run; nothing is), entries ...
-- Returns: 'ok' | 'not ready' | 'stale', last entry, lineage, jobs that Read showed, unanswered runs
if not is_ready() then
    return {'not ready'}
end
if not is_next(ARGV[2], ARGV[3], ARGV[5]) then
    return {'stale'}
end
local now = tonumber(ARGV[1])
local jobs = -tonumber(redis.call('ZSCORE', K.created, ALL) or 0)
local runs = redis.call('ZCARD', K.running)
redis.call('HSET', K.meta, ARGV[6], number(meta('seq')))
redis.call('HSET', K.meta, 'restores_void', number(meta('restores'))) -- what they read is older
if ARGV[6] == 'reset' then
    redis.call('UNLINK', K.runs, K.running, K.types)
end
for i = 7, #ARGV do
    emit(ARGV[i])
end
if ARGV[2] == '' then
    emit_marker(now)
else
    advance(ARGV[2], ARGV[4], now) -- its marker says it as well
end
redis.call('PUBLISH', K.wake, 'sweep')
return {'ok', flush(), lineage(), jobs, runs}
