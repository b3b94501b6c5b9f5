--!include base finishing history job later member outbox pauses states
-- Runs that wait for the end of a pause: they came due meanwhile (decision 30).
local WOKEN, WOKEN_BYTES = 1000, BUDGET / 2 -- runs and names that one call wakes, and bytes of their jobs

local function take_up(key, text)
    count_resting(-redis.call('ZREM', key, text))
end

-- The journal has to know where a job goes on whose occurrences have passed since this nominal time:
-- a rebuild would take them for open ones.
local function journal_passed(id, record, job, nominal, now)
    local next = now - now % CRON_STEP + 1 -- of cron jobs no occurrence: see `read_open_from`
    if not is_planned(job) then
        next = nominal + (math.floor((now - nominal) / job.interval) + 1) * job.interval
    end
    if next > nominal then
        emit_created(id, record, next, false)
    end
end

-- The next occurrence of a recurring job whose occurrences have passed since this nominal time. Python
-- counts those of cron.
local function go_on(id, record, job, nominal, now)
    if is_planned(job) then
        local next = member(job.seq, NEXT, id)
        redis.call('HSET', K.passing, next, number(nominal))
        redis.call('ZADD', K.plan, math.max(nominal - 1, now), next)
        return
    end
    local passed = math.max(0, math.floor((now - nominal) / job.interval) + 1)
    local next = nominal + passed * job.interval
    note_passed(id, job, next - job.interval, WHY_PAUSE, now, passed)
    if job.rules and job.rules.last > 0 and next > job.rules.last then
        finish(id, record, next, now)
        return
    end
    redis.call('ZADD', K.due, job.rank * RANK + note_nominal(id, job, next), member(job.seq, NEXT, id))
end

-- A run goes back to where it waits for its time, or for the end of another pause. Returns the bytes
-- that were read.
local function wake(key, text, now)
    take_up(key, text)
    local seq, kind, id, nominal, _, origin = read_member(text)
    local record = redis.call('HGET', K.jobs, id)
    if not record or read_seq(record) ~= seq then
        return 0 -- its job is gone
    end
    local job = read_job(record)
    -- Runs by hand and of a backfill are due at once: their nominal time may be long ago.
    local score = job.rank * RANK + ((origin or SCHEDULE) == SCHEDULE and nominal or now)
    if redis.call('HEXISTS', K.paused, id) == 1 then
        rest_for_job(seq, text)
    elseif redis.call('HEXISTS', K.paused_types, job.type) == 1 then
        rest_for_type(job.type, score, text)
    elseif kind == PASSED then
        redis.call('ZREM', K.retries, text)
        journal_passed(id, record, job, nominal, now)
        go_on(id, record, job, nominal, now)
    elseif kind == KEPT and job.kind < INTERVAL then -- so whoever removes the job finds it
        redis.call('ZREM', K.retries, text)
        emit(TOMBSTONE .. retry_key(id, seq, nominal))
        redis.call('ZADD', K.due, score, member(seq, NEXT, id))
    else
        redis.call('ZADD', K.due, score, text)
    end
    return #record
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
    while left > 0 and bytes > 0 do
        local name = redis.call('SPOP', K.resumed)
        if not name then
            return false
        end
        local key, found = resting_of(name, left)
        left = left - 1
        for _, text in ipairs(found) do
            left, bytes = left - 1, bytes - wake(key, text, now)
            if left <= 0 or bytes <= 0 then
                redis.call('SADD', K.resumed, name)
                break
            end
        end
    end
    return true
end
