--!include base deadlines job member pauses remove run states
--!args token runs...
--!row run id seq:int nominal:int attempt:int type instance start due timed origin:int
-- Rebuild: unanswered runs, whether or not their job lives, and runs that wait for their retry, if
-- it does.
-- `due`: '' if the run is unanswered. `timed`: '1' if it had a deadline of its own. Retries of one job
-- stand together.
-- Returns: how many are done, and how many of them are loaded | lost(). Not all are done when
--          JOB_BYTES of jobs were read.
local JOB_BYTES = 4000000
if not owns(token) then
    return lost()
end

local done, loaded, job_bytes, known_id, known = 0, 0, 0, nil, nil
local function living(id, seq)
    if id ~= known_id then
        local record = redis.call('HGET', K.jobs, id)
        known_id, known = id, nil
        if record then
            known, job_bytes = read_job(record), job_bytes + #record
        end
    end
    return known and known.seq == seq and known
end

-- The occurrence was emitted before its job was updated, or waits by itself, or was cancelled: unless
-- the job is further by now, the one after it is the next. They come in any order.
local function go_on_after(id, job, nominal)
    local text = member(job.seq, NEXT, id)
    local score = redis.call('ZSCORE', K.due, text)
    if not score then
        redis.call('ZADD', K.plan, 'XX', 'GT', nominal, text)
    elseif nominal_of(id, job, score - job.rank * RANK) > nominal then
        return
    elseif is_planned(job) then
        redis.call('ZREM', K.due, text)
        redis.call('ZADD', K.plan, nominal, text)
    else
        redis.call('ZADD', K.due, job.rank * RANK + note_nominal(id, job, nominal + job.interval), text)
    end
end

-- A run of another origin than the schedule waits beside the occurrences of its job.
local function load_retry(id, seq, nominal, attempt, due, origin)
    local job = living(id, seq)
    if job then
        local text = retry_member(seq, id, nominal, attempt, origin)
        local is_of_schedule = origin == SCHEDULE
        redis.call('ZADD', K.retries, seq, text)
        if is_of_schedule and attempt <= 1 and (job.kind == INTERVAL or job.kind == CRON) then
            go_on_after(id, job, nominal)
        end
        if is_of_schedule and attempt == 1 and job.kind <= ONCE then -- the job was paused: whether it still is comes out
            rest_for_job(seq, text)
            resume_job(seq, id)
        elseif attempt > 0 then
            redis.call('ZADD', K.due, job.rank * RANK + due, text)
        end
        if is_of_schedule and job.kind <= ONCE then
            redis.call('ZREM', K.due, member(seq, NEXT, id)) -- that was this run
        end
        if not is_of_schedule and job.kind < INTERVAL then
            note_by_hand()
        end
        loaded = loaded + 1
    else -- its job is gone, its removal from the journal was not announced: it is swept
        redis.call('ZADD', K.retries, seq, retry_member(seq, id, nominal, attempt, origin))
        redis.call('HSET', K.orphans, number(seq), struct.pack(ORPHAN, 0))
    end
end

-- The time of an unanswered run: that of the rebuild counts (`note_rebuilt`).
local function load_time(id, seq, instance, start, timed)
    local timeout = timed == '1' and timeout_of(living(id, seq) or nil, 0) or 0
    if timeout == 0 then
        redis.call('ZADD', K.running, start, instance)
        return
    end
    redis.call('ZADD', K.started, start, instance)
    redis.call('ZADD', K.deadlines, number(start + timeout), instance)
end

for i = runs_at, #args, RUN_ROW do
    local id, seq, nominal, attempt, type, instance, start, due, timed, origin = run_row(i)
    if due ~= '' then
        load_retry(id, seq, nominal, attempt, tonumber(due), origin)
    else
        redis.call('HSET', K.runs, instance, pack_run(seq, nominal, attempt, 0, type, id, origin))
        load_time(id, seq, instance, start, timed)
        if has_format(2) then
            redis.call('ZADD', K.open, seq, instance)
        end
        redis.call('HINCRBY', K.types, type, 1)
        loaded = loaded + 1
    end
    done = done + 1
    if job_bytes >= JOB_BYTES then
        break
    end
end
return {done, loaded}
