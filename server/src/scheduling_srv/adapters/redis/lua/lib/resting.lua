--!include base finishing history job later member outbox pauses states
-- Runs that wait for the end of a pause: they came due meanwhile (decision 30).
local WOKEN, WOKEN_BYTES = 1000, BUDGET / 2 -- runs and names that one call wakes, and bytes of their jobs

-- The journal has to know where a job goes on whose occurrences have passed since this nominal time:
-- a rebuild would take them for open ones.
local function journal_passed(id, record, job, nominal, over)
    local next = open_after(job, nominal, over)
    if next > nominal then
        emit_created(id, record, next, false)
    end
end

-- The next occurrence of a recurring job whose occurrences pass from this nominal time on, `over` that
-- instant. Python counts those of cron.
local function go_on(id, record, job, nominal, over, now)
    if is_planned(job) then
        local next = member(job.seq, NEXT, id)
        redis.call('HSET', K.passing, next, number(nominal))
        redis.call('ZADD', K.plan, math.max(nominal - 1, over), next)
        return
    end
    local passed = math.max(0, math.floor((over - nominal) / job.interval) + 1)
    local next = nominal + passed * job.interval
    note_passed(id, job, next - job.interval, WHY_PAUSE, now, passed)
    if job.rules and job.rules.last > 0 and next > job.rules.last then
        finish(id, record, next, now)
        return
    end
    redis.call('ZADD', K.due, job.rank * RANK + note_nominal(id, job, next), member(job.seq, NEXT, id))
end

-- A run goes back to where it waits for its time, or for the end of another pause. It rests no more.
-- `over`: when its pause was.
local function wake_run(id, record, job, text, over, now)
    local seq, kind, _, nominal, _, origin = read_member(text)
    -- Runs by hand and of a backfill are due at once: their nominal time may be long ago.
    local score = job.rank * RANK + ((origin or SCHEDULE) == SCHEDULE and nominal or now)
    if kind == PASSED then
        journal_passed(id, record, job, nominal, over) -- another pause may have begun later
    end
    if redis.call('HEXISTS', K.paused, id) == 1 then
        rest_for_job(seq, text)
    elseif redis.call('HEXISTS', K.paused_types, job.type) == 1 then
        rest_for_type(job.type, score, text)
    elseif kind == PASSED then
        redis.call('ZREM', K.retries, text)
        go_on(id, record, job, nominal, over, now)
    elseif kind == KEPT and job.kind < INTERVAL then -- so whoever removes the job finds it
        redis.call('ZREM', K.retries, text)
        emit(TOMBSTONE .. retry_key(id, seq, nominal))
        redis.call('ZADD', K.due, score, member(seq, NEXT, id))
    else
        redis.call('ZADD', K.due, score, text)
    end
end

-- Wakes a run that rests there. Returns the bytes that were read.
local function wake(key, text, now)
    count_resting(-redis.call('ZREM', key, text))
    local seq, kind, id = read_member(text)
    local record = redis.call('HGET', K.jobs, id)
    if not record or read_seq(record) ~= seq then
        return 0 -- its job is gone
    end
    local job = read_job(record)
    local pause = kind == PASSED and waking_of(job)
    wake_run(id, record, job, text, pause and math.min(now, pause['until']) or now, now)
    return #record
end

-- Takes the next occurrence of a cron job out of `plan`. Returns since when occurrences may have passed;
-- nil: it is not there. A pause of before may have them pass since an earlier time.
local function take_planned(job, text)
    local after = redis.call('ZSCORE', K.plan, text) or redis.call('ZSCORE', K.aside, text)
    if not after then
        return nil
    end
    redis.call('ZREM', K.plan, text)
    redis.call('ZREM', K.aside, text)
    return tonumber(redis.call('HGET', K.passing, text) or after + 1)
end

-- Takes a run out of its place that was decided before the pause and waits still. Returns its nominal
-- time; nil: there is none.
local function take_decided(id, job, text)
    local score = redis.call('ZSCORE', K.due, text)
    if not score and job.parallel > 0 then
        score = redis.call('ZSCORE', blocked_key(job.parallel, job.type), text)
        unblock(job.parallel, job.type, text)
    end
    redis.call('ZREM', K.due, text)
    return score and nominal_of(id, job, score - job.rank * RANK) or nil
end

-- A run that waits goes on by itself: what follows it passes. Returns the nominal time of that.
local function keep_decided(id, record, job, nominal, now)
    local text = retry_member(job.seq, id, nominal, 1)
    redis.call('ZADD', K.retries, job.seq, text)
    emit_waiting(id, job.seq, nominal, 1, nominal)
    wake_run(id, record, job, text, now, now)
    return is_planned(job) and nominal + 1 or nominal + job.interval
end

-- Takes the next occurrence of a recurring job, if the owner has not looked at it before now. Returns
-- since when its occurrences pass; nil: there is none that may have passed. `since`: of the pause.
local function take_unseen(id, record, job, since, now)
    for _, kind in ipairs({NEXT, MISSED}) do
        local text = member(job.seq, kind, id)
        local score = redis.call('ZSCORE', K.due, text)
        local due = score and score - job.rank * RANK
        if due and due >= now then
            return nil
        elseif due and (kind == NEXT or due > since) then
            redis.call('ZREM', K.due, text)
            return nominal_of(id, job, due)
        end
        local nominal = take_decided(id, job, text)
        if nominal then
            return keep_decided(id, record, job, nominal, now)
        end
        nominal = is_planned(job) and take_planned(job, text)
        if nominal then
            return nominal
        end
    end
    return nil
end

-- The member of the occurrences that pass with the pause of a job, which rests no more. nil: none do.
-- One that was due before the pause, and that no owner has seen, passes too (see `has_passed`).
local function take_passed(id, record, job, since, now)
    local nominal = passed_since(job.seq)
    if nominal then
        local text = passed_member(job.seq, id, nominal)
        end_rest(job.type, text)
        return text
    end
    nominal = recurs(job) and take_unseen(id, record, job, since, now)
    if not nominal then
        return nil
    end
    local text = passed_member(job.seq, id, nominal)
    redis.call('ZADD', K.retries, job.seq, text)
    return text
end

-- The pause of a job has ended: what has passed in it is settled at once, its runs wake piece by piece.
local function wake_job(id, record, job, since, now)
    local text = take_passed(id, record, job, since, now)
    if text then
        wake_run(id, record, job, text, now, now)
    end
    resume_job(job.seq, id)
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

-- Whether one of `resumed` was paused again: what rests waits for the end of that pause.
local function is_paused_again(name)
    if string.sub(name, 1, 1) == TYPE then
        return redis.call('HEXISTS', K.paused_types, string.sub(name, 2)) == 1
    end
    return redis.call('HEXISTS', K.paused, string.match(name, ':(.*)$')) == 1
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
        for _, text in ipairs(is_paused_again(name) and {} or found) do
            left, bytes = left - 1, bytes - wake(key, text, now)
            if left <= 0 or bytes <= 0 then
                redis.call('SADD', K.resumed, name)
                break
            end
        end
    end
    return true
end
