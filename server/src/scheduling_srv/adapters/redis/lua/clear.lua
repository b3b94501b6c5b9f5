--!include base counting input marker outbox resting
--!args now:int partition expected position known mark entries...
-- Makes all jobs up to now void: nothing of them is staged from here on. `sweep.lua` removes them.
-- `partition` to `known`: see `input.lua`.
-- `mark`: 'cleared' (every resource; each removal is announced) or 'reset' (every job and run;
-- nothing is).
-- Returns: 'ok' | 'not ready' | 'stale', last entry, lineage, jobs that Read showed, unanswered
--          runs
if not is_ready() then
    return {'not ready'}
end
if not is_next(partition, expected, known) then
    return {'stale'}
end
local jobs = count_listed(K.created)
local runs = redis.call('HLEN', K.runs)
redis.call('HSET', K.meta, mark, number(meta('seq')))
redis.call('HSET', K.meta, 'restores_void', number(meta('restores'))) -- what they read is older
if mark == 'reset' then
    redis.call('UNLINK', K.runs, K.running, K.started, K.deadlines, K.open, K.types)
    for _, key in ipairs({K.paused_types, K.waking}) do
        local paused = redis.call('HGETALL', key)
        for i = 1, #paused, 2 do
            forget_type_pause(key, paused[i]) -- pauses of jobs go with their jobs, as these are swept
            resume_type(paused[i]) -- its runs are void
        end
    end
end
for i = entries_at, #args do
    emit(args[i])
end
if partition == '' then
    emit_marker(now)
else
    advance(partition, position, now) -- its marker says it as well
end
redis.call('PUBLISH', K.wake, 'sweep')
return {'ok', flush(), lineage(), jobs, runs}
