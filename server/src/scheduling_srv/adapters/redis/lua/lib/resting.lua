--!include base finishing job member states
-- Runs that wait for the end of a pause: they came due meanwhile (decision 30).
local WOKEN, WOKEN_BYTES = 1000, BUDGET / 2 -- runs that one call wakes, and bytes of their jobs

local function rest_for_job(seq, text)
    redis.call('HINCRBY', K.meta, 'resting', redis.call('ZADD', K.resting, seq, text))
end

local function rest_for_type(type, score, text)
    redis.call('HINCRBY', K.meta, 'resting', redis.call('ZADD', K.resting_types .. type, score, text))
end

local function take_up(key, text)
    redis.call('HINCRBY', K.meta, 'resting', -redis.call('ZREM', key, text))
end

-- The next occurrence of a recurring job whose occurrences have passed since this nominal time.
local function go_on(id, record, job, nominal, now)
    if is_planned(job) then
        redis.call('ZADD', K.plan, math.max(nominal - 1, now), member(job.seq, NEXT, id))
        return
    end
    local passed = math.max(0, math.floor((now - nominal) / job.interval) + 1)
    local next = nominal + passed * job.interval
    if job.rules and job.rules.last > 0 and next > job.rules.last then
        finish(id, record, next)
        return
    end
    redis.call('ZADD', K.due, job.rank * RANK + note_nominal(id, job, next), member(job.seq, NEXT, id))
end

-- A run goes back to where it waits for its time, or for the end of another pause. Returns the bytes
-- that were read.
local function wake(key, text, now)
    take_up(key, text)
    local seq, kind, id, nominal = read_member(text)
    local record = redis.call('HGET', K.jobs, id)
    if not record or read_seq(record) ~= seq then
        return 0 -- its job is gone
    end
    local job = read_job(record)
    local score = job.rank * RANK + nominal
    if redis.call('HEXISTS', K.paused, id) == 1 then
        rest_for_job(seq, text)
    elseif redis.call('HEXISTS', K.paused_types, job.type) == 1 then
        rest_for_type(job.type, score, text)
    elseif kind == PASSED then
        redis.call('ZREM', K.retries, text)
        go_on(id, record, job, nominal, now)
    else
        redis.call('ZADD', K.due, score, text)
    end
    return #record
end

local JOB, TYPE = 'j', 't' -- how the members of `resumed` begin

local function resume_job(seq, id)
    redis.call('SADD', K.resumed, JOB .. number(seq) .. ':' .. id)
end

local function resume_type(type)
    redis.call('SADD', K.resumed, TYPE .. type)
end

-- The runs that one of `resumed` has woken: the key where they rest, and some of them.
local function resting_of(name, most)
    if string.sub(name, 1, 1) == TYPE then
        local key = K.resting_types .. string.sub(name, 2)
        return key, redis.call('ZRANGE', key, 0, most - 1)
    end
    local seq = string.match(name, '^' .. JOB .. '(%d+):')
    return K.resting, redis.call('ZRANGE', K.resting, seq, seq, 'BYSCORE', 'LIMIT', 0, most)
end

-- Wakes runs of what was resumed; returns whether there are more.
local function wake_resumed(now)
    local left, bytes = WOKEN, WOKEN_BYTES
    for _, name in ipairs(redis.call('SRANDMEMBER', K.resumed, 100)) do
        local key, found = resting_of(name, left)
        for _, text in ipairs(found) do
            if bytes <= 0 then
                return true
            end
            left, bytes = left - 1, bytes - wake(key, text, now)
        end
        if left <= 0 then
            return true
        end
        redis.call('SREM', K.resumed, name)
    end
    return redis.call('EXISTS', K.resumed) == 1
end
