-- Takes a job out of every index. Its unanswered runs stay until they are answered.
local function remove_job(id, job)
    redis.call('HDEL', K.jobs, id)
    for _, kind in ipairs({NEXT, MISSED}) do
        local text = member(job.seq, kind, id)
        redis.call('ZREM', K.due, text)
        redis.call('ZREM', K.plan, text)
        if job.parallel > 0 then
            unblock(job.parallel, job.type, text)
        end
    end
    if job.parallel > 0 then
        mark_freed(job.type)
    end
    if job.kind ~= NOW then
        redis.call('ZREM', K.created, id)
        redis.call('ZREM', K.creator .. job.creator, id)
    end
end
