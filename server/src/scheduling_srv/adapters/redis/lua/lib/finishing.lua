--!include job order outbox pauses remove states
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

-- Whether runs of the job are unanswered, or wait. A job that finishes has rules, so all of its runs
-- were staged in format 2: those that `index_older.lua` still has to put into `open` are of others.
local function has_runs(seq)
    return starts[seq] ~= nil or redis.call('ZCOUNT', K.open, seq, seq) + redis.call('ZCOUNT', K.retries, seq, seq) > 0
end

-- Whether runs of a job that finishes may still start: they wait, or may be tried again.
local function has_more_to_start(job)
    local seq = job.seq
    return job.attempts > 1 and has_runs(seq) or redis.call('ZCOUNT', K.retries, seq, seq) > 0
end

-- A recurring job has no further occurrence: it is announced as finished. Its open runs may still be
-- answered, and tried again.
local function finish(id, record, nominal)
    local job = read_job(record)
    emit_finished(id)
    remember_removed(id, job)
    if not has_more_to_start(job) then
        remove_job(id, job)
        emit_deleted(id, false)
        return
    end
    forget_state(id, job)
    if is_any_paused() then
        unpause_job(id)
    end
    unlist(job.seq, id, job.creator, job.type, labels_of(job))
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
