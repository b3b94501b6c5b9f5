-- Runs with a deadline: of jobs with a timeout of their own, or extended ones. They are in `started`
-- and `deadlines`, all others in `running` (decision 30).
local function head_of(key)
    return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
end

-- When the unanswered run was started that has waited longest; nil: there is none.
local function oldest_start()
    local one, other = head_of(K.running), head_of(K.started)
    return one and other and math.min(one, other) or one or other
end

local function is_any_started()
    return redis.call('EXISTS', K.started) == 1
end

-- How long a worker of the job may be silent. `job`: nil if it is gone. `timeout`: the setting.
local function timeout_of(job, timeout)
    local own = job and job.rules and job.rules.timeout or 0
    return own > 0 and own or timeout
end
