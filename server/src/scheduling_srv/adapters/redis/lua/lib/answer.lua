--!include backfills base deadlines finishing job limits member outbox pauses remove run states
-- What an answer does to a run and its job (docs/contract.md).
local function retry_delay(id, job, nominal, failures, cap)
    local delay, rules = job.delay, job.rules
    if job.backoff ~= 0 then
        delay = math.min(delay * 2 ^ math.min(failures - 1, 1000), cap)
    end
    if rules and rules.max_delay > 0 then
        delay = math.min(delay, rules.max_delay)
    end
    if rules and rules.share > 0 then
        delay = delay * (1 - rules.share * fraction(id .. '/' .. number(nominal) .. '/' .. number(failures + 1)))
    end
    return math.ceil(delay)
end

local bytes_read = 0 -- of the jobs that answers were for
local given_up, given_up_id = 0, '' -- failed runs that are not retried because too many wait, and a job
local done, failed = 0, 0 -- runs that ended, for good
local failed_id, failed_type, failed_attempt, failed_problem = '', '', 0, '' -- of the last that failed
local PROBLEM = 800 -- bytes of what a worker said that the tally repeats
local ended_types = {} -- their type -> how many were done and how many failed
-- Outcomes, as the contract names them.
local DONE, FAILED, TIMED_OUT, CANCELLED = 'done', 'failed', 'timed-out', 'cancelled'

-- Whether a job has so many waiting retries that no more are kept (decision 14).
local function has_enough_retries(id, job, most)
    if redis.call('ZCOUNT', K.retries, job.seq, job.seq) < most then
        return false
    end
    given_up, given_up_id = given_up + 1, id
    return true
end

-- `after`: ms that the worker wants to wait; nil: as the job says.
local function plan_retry(id, job, nominal, attempt, now, cap, after, origin)
    local due = now + (after or retry_delay(id, job, nominal, attempt - 1, cap))
    local text = retry_member(job.seq, id, nominal, attempt, origin)
    redis.call('ZADD', K.due, job.rank * RANK + due, text)
    redis.call('ZADD', K.retries, job.seq, text)
    emit_waiting(id, job.seq, nominal, attempt, due, origin)
    return due
end

-- What the call has read, or has ended since: instance -> run, id -> record; false: it is not there.
local known_runs, known_jobs = {}, {}
-- What it takes out at its end: instances, type -> how many of them, and jobs.
local answered, left, ended_jobs = {}, {}, {ids = {}, due = {}}
local freed = {} -- type -> whether runs of it are held

local function read_jobs(ids)
    local records = #ids > 0 and redis.call('HMGET', K.jobs, unpack(ids)) or {}
    for i, record in ipairs(records) do
        known_jobs[ids[i]] = record
        bytes_read = bytes_read + (record and #record or 0)
    end
end

local function read_runs(instances)
    local ids = {}
    for i, run in ipairs(redis.call('HMGET', K.runs, unpack(instances))) do
        if known_runs[instances[i]] == nil then -- else it was answered a moment ago
            known_runs[instances[i]] = run
            local id = run and run_id(run)
            if id and known_jobs[id] == nil then
                known_jobs[id] = false
                ids[#ids + 1] = id
            end
        end
    end
    read_jobs(ids)
end

-- Reads the runs of `size` instances, of which instance_of(n) is the n-th, and their jobs, and calls
-- see(n) for each in order, as long as the budget lasts. Returns for how many.
local function each_run(size, instance_of, see)
    local seen, largest = 0, largest_record()
    while seen < size and bytes_read < BUDGET do
        local last, instances = math.min(size, seen + records_within(BUDGET - bytes_read, largest)), {}
        for n = seen + 1, last do
            instances[n - seen] = instance_of(n)
        end
        read_runs(instances)
        for n = seen + 1, last do
            see(n)
        end
        seen = last
    end
    return seen
end

-- Returns whether a run that is held may start.
local function free_place(instance, type)
    answered[#answered + 1], left[type] = instance, (left[type] or 0) + 1
    if freed[type] == nil then
        freed[type] = mark_freed(type)
    end
    return freed[type]
end

local ending = {} -- id -> finished job of which a run has ended

-- A run of the job has ended for good. Returns whether another one waits for that.
local function after_end(id, job)
    if job.kind == ENDING then
        ending[id] = job
    end
    local is_awaited = job.rules ~= nil and job.rules.overlap == ONE and is_any_resting()
    if is_awaited then
        resume_job(job.seq, id)
    end
    return is_awaited
end

-- Takes out the runs that have ended, and their jobs: before a marker is made.
local function save_ended()
    in_batches('HDEL', K.runs, answered)
    in_batches('ZREM', K.running, answered)
    if is_any_started() then
        in_batches('ZREM', K.started, answered)
        in_batches('ZREM', K.deadlines, answered)
    end
    in_batches('ZREM', K.open, answered)
    for type, size in pairs(left) do
        if redis.call('HINCRBY', K.types, type, -size) <= 0 then
            redis.call('HDEL', K.types, type)
        end
    end
    in_batches('HDEL', K.jobs, ended_jobs.ids)
    in_batches('ZREM', K.due, ended_jobs.due)
    for id, job in pairs(ending) do
        end_finished(id, job)
    end
end

-- What `complete` and `expire` return of the runs that ended.
local function tally()
    local types = {}
    for type, ended in pairs(ended_types) do
        push(types, type, ended.done)
        push(types, ended.failed)
    end
    local problem = string.sub(failed_problem, 1, PROBLEM)
    return given_up, given_up_id, done, failed, failed_id, types, failed_type, failed_attempt, problem
end

-- Counts a run that has ended, for `tally`.
local function count_end(id, type, attempt, outcome, problem)
    if outcome == CANCELLED then
        return
    end
    local ended = ended_types[type] or { done = 0, failed = 0 }
    ended_types[type] = ended
    if outcome == DONE then
        done, ended.done = done + 1, ended.done + 1
    else
        failed, ended.failed = failed + 1, ended.failed + 1
        failed_id, failed_type, failed_attempt, failed_problem = id, type, attempt, problem
    end
end

-- A run has ended for good, whether or not it was emitted: every end comes here. `job`: nil if it is
-- gone. `attempt`: the last one that was emitted, or 0. Returns whether something may be due because of it.
local function conclude(id, type, job, seq, nominal, attempt, origin, outcome, problem)
    count_end(id, type, attempt, outcome, problem)
    if not job then
        return false
    end
    local is_due = after_end(id, job)
    if origin == BACKFILLED then
        note_backfilled(id, seq)
    end
    if job.kind < INTERVAL and origin == SCHEDULE then
        remove_job(id, job, ended_jobs)
        remember_removed(id, job)
        known_jobs[id] = false
        if job.kind == ONCE then
            emit_ended(id, outcome, attempt, problem)
        else
            emit_deleted(id, false)
        end
    end
    return is_due
end

-- Ends a run that `each_run` shows; returns whether there was one, and when something may be due
-- because of it. `most`: how many retries of a job may wait. `problem`: what the worker said of a
-- failure; `after`: see `plan_retry`; `is_final`: no attempt follows.
local function end_run(instance, outcome, now, cap, most, problem, after, is_final)
    local run = known_runs[instance]
    if not run then
        return false
    end
    known_runs[instance] = false
    local seq, nominal, attempt, _, size, at, origin = read_run(run)
    local type = string.sub(run, at, at + size - 1)
    local due = free_place(instance, type) and now
    local id = string.sub(run, at + size)
    local record = known_jobs[id]
    local job = record and read_job(record)
    local alive = job and job.seq == seq
    local has_failed = outcome ~= DONE
    local is_retried = alive and has_failed and not is_final and attempt < job.attempts
    if is_retried and not has_enough_retries(id, job, most) then
        local again = plan_retry(id, job, nominal, attempt + 1, now, cap, after, origin)
        return true, due or again
    end
    if attempt > 1 then
        emit(TOMBSTONE .. retry_key(id, seq, nominal, origin))
    end
    local is_due = conclude(id, type, alive and job or nil, seq, nominal, attempt, origin, outcome, problem)
    return true, is_due and now or due
end
