--!include base job member pauses states
--!args token runs...
--!row run id seq:int nominal:int attempt:int type instance start due
-- Rebuild: unanswered runs, whether or not their job lives, and runs that wait for their retry, if
-- it does.
-- `due`: '' if the run is unanswered. Retries of one job stand together.
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

-- The occurrence was emitted before its job was updated, or waits by itself: unless the job is further
-- by now, the one after it is the next.
local function go_on_after(id, job, nominal)
    local text = member(job.seq, NEXT, id)
    local score = redis.call('ZSCORE', K.due, text)
    if not score or nominal_of(id, job, score - job.rank * RANK) ~= nominal then
        return
    elseif is_planned(job) then
        redis.call('ZREM', K.due, text)
        redis.call('ZADD', K.plan, nominal, text)
    else
        redis.call('ZADD', K.due, job.rank * RANK + note_nominal(id, job, nominal + job.interval), text)
    end
end

local function load_retry(id, seq, nominal, attempt, due)
    local job = living(id, seq)
    if job then
        local text = retry_member(seq, id, nominal, attempt)
        redis.call('ZADD', K.retries, seq, text)
        if attempt <= 1 and (job.kind == INTERVAL or job.kind == CRON) then
            go_on_after(id, job, nominal)
        end
        if attempt == 1 and job.kind <= ONCE then -- the job was paused: whether it still is comes out
            rest_for_job(seq, text)
            resume_job(seq, id)
        elseif attempt > 0 then
            redis.call('ZADD', K.due, job.rank * RANK + due, text)
        end
        if job.kind <= ONCE then
            redis.call('ZREM', K.due, member(seq, NEXT, id)) -- that was this run
        end
        loaded = loaded + 1
    else -- its job is gone, its removal from the journal was not announced: it is swept
        redis.call('ZADD', K.retries, seq, retry_member(seq, id, nominal, attempt))
        redis.call('HSET', K.orphans, number(seq), struct.pack(ORPHAN, 0))
    end
end

for i = runs_at, #args, RUN_ROW do
    local id, seq, nominal, attempt, type, instance, start, due = run_row(i)
    if due ~= '' then
        load_retry(id, seq, nominal, attempt, tonumber(due))
    else
        local run = struct.pack(RUN, seq, RUN_OF_SCHEDULE, SCHEDULE, nominal, attempt, 0, #type) .. type .. id
        redis.call('HSET', K.runs, instance, run)
        redis.call('ZADD', K.running, start, instance)
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
