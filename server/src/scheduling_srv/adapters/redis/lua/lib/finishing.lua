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

-- A recurring job has no further occurrence: it is announced as finished. Its open runs may still be
-- answered, and tried again.
local function finish(id, record, nominal)
    local job = read_job(record)
    emit_finished(id)
    if job.attempts <= 1 and redis.call('ZCOUNT', K.retries, job.seq, job.seq) == 0 then
        remove_job(id, job)
        remember_removed(id, job)
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
