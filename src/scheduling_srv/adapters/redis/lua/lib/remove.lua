-- Names a retry in the journal.
local function retry_key(id, seq, nominal)
    return id .. '\0' .. number(seq) .. '\0' .. number(nominal)
end

-- Takes out a retry that waits, maybe for years, of a job that goes; also from the journal.
local function remove_retry(text, parallel, type)
    local seq, _, id, nominal = read_member(text)
    redis.call('ZREM', K.retries, text)
    redis.call('ZREM', K.due, text)
    if parallel > 0 then
        unblock(parallel, type, text)
    end
    emit('X' .. retry_key(id, seq, nominal))
end

local retries_left = 100 -- what one call removes; `sweep_retries.lua` removes those of jobs with more

-- From here on none of them runs: staging drops a retry whose job is gone.
local function remove_retries(job)
    local waiting = redis.call('ZRANGE', K.retries, job.seq, job.seq, 'BYSCORE', 'LIMIT', 0, retries_left + 1)
    if #waiting > retries_left then
        redis.call('HSET', K.orphans, number(job.seq), struct.pack('<I4', job.parallel) .. job.type)
        redis.call('PUBLISH', K.wake, 'sweep')
        return
    end
    retries_left = retries_left - #waiting
    for _, text in ipairs(waiting) do
        remove_retry(text, job.parallel, job.type)
    end
end

-- Takes a job out of every index. Its unanswered runs stay until they are answered.
local function remove_job(id, job)
    redis.call('HDEL', K.jobs, id)
    if job.kind ~= CRON and job.parallel == 0 then
        redis.call('ZREM', K.due, member(job.seq, NEXT, id)) -- it is nowhere else
    else
        for _, kind in ipairs({NEXT, MISSED}) do
            local text = member(job.seq, kind, id)
            redis.call('ZREM', K.due, text)
            redis.call('ZREM', K.plan, text)
            if job.kind == CRON then
                redis.call('ZREM', K.aside, text)
            end
            if job.parallel > 0 then
                unblock(job.parallel, job.type, text)
            end
        end
    end
    if job.attempts > 1 then
        remove_retries(job)
    end
    if job.parallel > 0 then
        mark_freed(job.type)
    end
    if job.kind ~= NOW then
        unlist(job.seq, id, job.creator)
    end
end

-- Notes removals while restores are under way: what is gone since they began stays gone.
local function remember_removed(id, job)
    if job.kind ~= NOW and redis.call('EXISTS', K.restores) == 1 then
        redis.call('SADD', K.removed, id)
    end
end
