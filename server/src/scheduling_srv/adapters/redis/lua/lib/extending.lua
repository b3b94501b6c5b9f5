--!include answer base deadlines job run
-- Moves the deadline of a run that `each_run` shows to so many ms from now, never to an earlier
-- instant. Returns it; nil: there is no such run. `extension`: nil for the timeout of the job.
-- `timeout`: the setting.
local function extend(instance, now, extension, timeout)
    local run = known_runs[instance]
    if not run then
        return nil
    end
    local record = known_jobs[run_id(run)]
    local is_alive = record and read_seq(record) == read_run(run)
    local deadline = now + (extension or timeout_of(is_alive and read_job(record) or nil, timeout))
    local start = redis.call('ZSCORE', K.running, instance)
    if start then
        deadline = math.max(deadline, start + timeout)
        redis.call('ZREM', K.running, instance)
        redis.call('ZADD', K.started, start, instance)
    end
    redis.call('ZADD', K.deadlines, 'GT', number(deadline), instance)
    return tonumber(redis.call('ZSCORE', K.deadlines, instance))
end
