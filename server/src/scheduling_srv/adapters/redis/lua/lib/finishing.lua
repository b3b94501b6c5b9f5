--!include backfills intervals job order outbox remove states unique waiting
-- How jobs end without an answer: recurring ones that have no further occurrence, and one-time jobs
-- whose run never starts.
local TOO_LATE = 'The start deadline has passed.'

local function emit_finished(id)
    local text = '[["job-id",' .. quoted(id) .. '],["outcome","finished"]]'
    emit_happened(id, text)
end

-- The record as it stays for retries of the last runs: of no resource.
local function as_ending(record)
    local byte = string.byte(record, SEQ_SIZE + 1)
    return string.sub(record, 1, SEQ_SIZE) .. string.char(byte - shape_of(record).kind + ENDING) .. string.sub(record, SEQ_SIZE + 2)
end

local starts = {} -- creation number -> runs of the job that this call has started: not in `open` yet
-- Runs of a job with rules that are unanswered: all of them were staged in format 2. Those that
-- `index_older.lua` still has to put into `open` are of other jobs.
local function count_open(seq)
    return redis.call('ZCOUNT', K.open, seq, seq) + (starts[seq] or 0)
end

local function is_any_left(seq)
    local retries, firsts = count_waiting(seq)
    return retries + firsts > 0
end

-- Whether runs of a job that finishes may still start: they wait, or may be tried again.
local function has_more_to_start(job)
    return job.attempts > 1 and count_open(job.seq) > 0 or is_any_left(job.seq)
end

-- A recurring job has no further occurrence: it is announced as finished. Its open runs may still be
-- answered, and tried again, and those that wait go on counting, or to rest: it stays paused.
local function finish(id, record, nominal, now)
    local job = read_job(record)
    local has_counted = is_counted(job) and state_of(id, job.seq).counted >= job.rules.max_runs
    log_all(K.farewells, {farewell_text(id, job.seq, has_counted and GONE_MAX_RUNS or GONE_END, now)})
    emit_finished(id)
    remember_removed(id, job)
    if not has_more_to_start(job) then
        remove_job(id, job)
        emit_deleted(id, false)
        return
    end
    unlist(job.seq, id, job.creator, job.type, labels_of(job))
    give_key_back(id, record)
    end_backfill(id)
    local ending = as_ending(record)
    redis.call('HSET', K.jobs, id, ending)
    emit_created(id, ending, nominal, false)
end

-- A one-time job is over before its run has started.
local function end_unstarted(id, record)
    local job = read_job(record)
    remove_job(id, job)
    remember_removed(id, job)
    if job.kind == ONCE then
        emit_ended(id, 'failed', 0, TOO_LATE)
    else
        emit_deleted(id, false)
    end
end

-- A finished job goes with its last run. Returns whether that was it.
local function end_finished(id, job)
    if count_open(job.seq) > 0 or is_any_left(job.seq) then
        return false
    end
    remove_job(id, job)
    emit_deleted(id, false)
    return true
end
