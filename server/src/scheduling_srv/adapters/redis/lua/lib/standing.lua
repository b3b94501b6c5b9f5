--!include base member opening pauses states
-- How a job stands (scheduling.v1, `JobState`), and when it is due next.
local PAUSED, RUNNING, HELD, RETRYING, WAITING = 'P', 'R', 'H', 'T', 'W'
local any = {} -- key -> whether it holds anything: asked once a call

local function is_any(key)
    if any[key] == nil then
        any[key] = redis.call('EXISTS', key) == 1
    end
    return any[key]
end

local function is_paused(id, type)
    return (is_any(K.paused) and redis.call('HEXISTS', K.paused, id) == 1)
        or (is_any(K.paused_types) and redis.call('HEXISTS', K.paused_types, type) == 1)
end

local function has_open_run(seq)
    complete_open()
    return redis.call('ZCOUNT', K.open, seq, seq) > 0
end

-- When a member of the job is due; nil: it is neither in `due` nor held. Whether it is held.
local function place_in_due(text, job)
    local score = redis.call('ZSCORE', K.due, text)
    if score then
        return score - job.rank * RANK, false
    end
    local nominal = job.parallel > 0 and redis.call('ZSCORE', K.waiting, text)
    if nominal then
        return tonumber(nominal), true
    end
end

-- The same for the next occurrence.
local function next_place(id, job)
    local due, is_held = place_in_due(member(job.seq, NEXT, id), job)
    if due then
        return due, is_held
    end
    return place_in_due(member(job.seq, MISSED, id), job)
end

-- The same for the first run of the job that waits by itself.
local function retry_place(job)
    local text = is_any(K.retries) and redis.call('ZRANGE', K.retries, job.seq, job.seq, 'BYSCORE', 'LIMIT', 0, 1)[1]
    if text then
        return place_in_due(text, job)
    end
end

local function state_of_job(id, job, is_held, is_retrying)
    if is_paused(id, job.type) then
        return PAUSED
    elseif has_open_run(job.seq) then
        return RUNNING
    elseif is_held then
        return HELD
    end
    return is_retrying and RETRYING or WAITING
end

-- The state of a job, and when its next occurrence, or the retry of its only run, is due: nil while
-- Python computes it, and for a one-time job whose run is under way. Then the nominal time of that
-- occurrence; of a job whose occurrences pass at rest, that of the first one.
local function stand(id, job)
    local due, is_held = next_place(id, job)
    local retry_due, is_retry_held = retry_place(job)
    local state = state_of_job(id, job, is_held or is_retry_held, retry_due ~= nil)
    if due then
        return state, due, nominal_of(id, job, due)
    elseif job.kind < INTERVAL then
        return state, retry_due, retry_due
    end
    return state, nil, passed_since(job.seq)
end
