-- Runs that wait by themselves, maybe for years, go with their job, also from the journal.
local function remove_retries(id, job)
    for _, text in ipairs(redis.call('ZRANGE', K.retries, job.seq, job.seq, 'BYSCORE')) do
        local _, _, _, nominal = read_member(text)
        redis.call('ZREM', K.retries, text)
        redis.call('ZREM', K.due, text)
        if job.parallel > 0 then
            unblock(job.parallel, job.type, text)
        end
        emit('X' .. retry_key(id, job.seq, nominal))
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
            if job.parallel > 0 then
                unblock(job.parallel, job.type, text)
            end
        end
    end
    if job.attempts > 1 or job.kind >= INTERVAL then
        remove_retries(id, job)
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
