--!include answer base finishing job limits member opening origins outbox remove run states waiting within
-- Cancels open runs: those that run, those that wait for a retry, and those that are held
-- (decision 30).
local WORDS = 'The run was cancelled.'
local AT_ONCE = 500 -- members that are read in one call
local looked = 0 -- members that this call has read
local MOST_NOTED = 100 -- cancelled occurrences of a job that were never emitted

local function varint(value)
    local bytes = {}
    while value >= 128 do
        bytes[#bytes + 1], value = string.char(value % 128 + 128), math.floor(value / 128)
    end
    return table.concat(bytes) .. string.char(value)
end

-- A final jobFailed in place of a worker's, by which a rebuild knows that the run has ended.
local function emit_cancelled(id, seq, nominal, origin, attempt, instance)
    local key, occurrence = 'jobFailed', id .. '/' .. number(seq) .. '/' .. number(nominal) .. mark_of(origin) .. '/' .. number(attempt)
    local headers = '[["job-id",' .. quoted(id) .. '],["occurrence-id",' .. quoted(occurrence) .. '],["outcome","cancelled"]]'
    local value = '\8' .. varint(tonumber(instance)) .. '\18' .. varint(#WORDS) .. WORDS .. '\168\6\1'
    emit(struct.pack(EVENT, HAPPENED, JOBS_TOPIC, #key, #headers) .. key .. headers .. value)
end

-- The instance of an unanswered run; nil: it is none.
local function find_instance(id, seq, nominal, origin)
    complete_open()
    local at = 0
    while true do
        local found = redis.call('ZRANGE', K.open, seq, seq, 'BYSCORE', 'LIMIT', at, AT_ONCE)
        looked = looked + #found
        for i, run in ipairs(#found > 0 and redis.call('HMGET', K.runs, unpack(found)) or {}) do
            if run then
                local its_seq, its_nominal, _, _, _, _, its_origin = read_run(run)
                if its_seq == seq and its_nominal == nominal and its_origin == origin and run_id(run) == id then
                    return found[i]
                end
            end
        end
        if #found < AT_ONCE then
            return nil
        end
        at = at + AT_ONCE
    end
end

-- Whether the unanswered run that was seen with this instance is there.
local function is_unanswered(instance, id, seq, nominal, origin)
    looked = looked + 1
    local run = instance > 0 and redis.call('HGET', K.runs, number(instance))
    if not run then
        return false
    end
    local its_seq, its_nominal, _, _, _, _, its_origin = read_run(run)
    return its_seq == seq and its_nominal == nominal and its_origin == origin and run_id(run) == id
end

-- The member of a run that waits for this attempt; nil: it does not.
local function find_attempt(id, seq, nominal, origin, attempt)
    looked = looked + 1
    local text = attempt > 0 and retry_member(seq, id, nominal, attempt, origin)
    return text and redis.call('ZSCORE', K.retries, text) and text or nil
end

-- The member of a run that waits by itself, and its attempt; nil: there is none. `likely`: the attempt
-- that it waited for when it was seen, or 0.
local function find_retry(id, seq, nominal, origin, likely)
    for _, attempt in ipairs({likely, 1}) do
        local text = find_attempt(id, seq, nominal, origin, attempt)
        if text then
            return text, attempt
        end
    end
    local at = 0
    while true do
        local found = redis.call('ZRANGE', K.retries, seq, seq, 'BYSCORE', 'LIMIT', at, AT_ONCE)
        looked = looked + #found
        for _, text in ipairs(found) do
            local _, kind, its_nominal, attempt, its_origin = read_place(text)
            if kind ~= RETRY then
                return nil -- the others come after them
            elseif its_nominal == nominal and its_origin == origin then
                return text, attempt
            end
        end
        if #found < AT_ONCE then
            return nil
        end
        at = at + AT_ONCE
    end
end

-- The member of the next occurrence, if it is held and has this nominal time.
local function find_held(id, job, nominal)
    for _, kind in ipairs({NEXT, MISSED}) do
        local text = member(job.seq, kind, id)
        local score = redis.call('ZSCORE', K.waiting, text)
        if score and tonumber(score) == nominal then
            return text
        end
    end
end

-- A rebuild has to know of an occurrence that was never emitted, and never will be: as attempt 0.
local function note_unemitted(id, seq, nominal)
    redis.call('ZADD', K.retries, seq, retry_member(seq, id, nominal, 0))
    emit_waiting(id, seq, nominal, 0, nominal)
    local noted, kept, others = {}, find_kept(seq)
    looked = looked + others - kept
    for _, text in ipairs(kept < others and redis.call('ZRANGE', K.retries, kept, others - 1) or {}) do
        local _, _, _, attempt = read_place(text)
        noted[#noted + 1] = attempt == 0 and text or nil
    end
    for i = 1, #noted - MOST_NOTED do
        remove_retry(noted[i], 0, '')
    end
end

-- Plants the occurrence after one that was held.
local function plant_following(id, job, record, nominal, now)
    local next = nominal + job.interval
    if is_planned(job) then
        redis.call('ZADD', K.plan, nominal, member(job.seq, NEXT, id))
    elseif job.rules and job.rules.last > 0 and next > job.rules.last then
        finish(id, record, next, now)
        local left = redis.call('HGET', K.jobs, id)
        if left then -- a run that this call has cancelled may have been its last
            ending[id], known_jobs[id] = read_job(left), left
        end
    else
        redis.call('ZADD', K.due, job.rank * RANK + note_nominal(id, job, next), member(job.seq, NEXT, id))
    end
end

-- A run waits, and has no instance. Returns whether there is such a run.
local function cancel_waiting(id, seq, nominal, origin, likely, now, is_counted_only, limits)
    local record = redis.call('HGET', K.jobs, id)
    bytes_read = bytes_read + (record and #record or 0)
    if not record or read_seq(record) ~= seq or not is_within(limits, record) then
        return false
    end
    local job = read_job(record)
    local text, attempt = find_retry(id, seq, nominal, origin, likely)
    local held = not text and origin == SCHEDULE and find_held(id, job, nominal)
    if not text and not held then
        return false
    elseif is_counted_only then
        return true
    end
    if held then
        unblock(job.parallel, job.type, held)
        attempt = 1
    else
        remove_retry(text, job.parallel, job.type)
    end
    if attempt == 1 and origin == SCHEDULE and job.kind >= INTERVAL and job.kind ~= ENDING then
        note_unemitted(id, seq, nominal)
    end
    if attempt > 1 then
        emit_cancelled(id, seq, nominal, origin, attempt - 1, 0)
    end
    conclude(0, id, job.type, job, true, seq, nominal, attempt - 1, origin, CANCELLED, now, '')
    if held and job.kind >= INTERVAL then
        plant_following(id, job, record, nominal, now)
    end
    return true
end

-- Its instance, or nil. `seen`: the instance that it had when it was seen, `likely`: the attempt that
-- it waited for; 0: not known.
local function instance_of(id, seq, nominal, origin, seen, likely)
    if is_unanswered(seen, id, seq, nominal, origin) then
        return number(seen)
    elseif find_attempt(id, seq, nominal, origin, likely) then
        return nil
    end
    return find_instance(id, seq, nominal, origin)
end

-- Cancels a run; returns whether it is open. `is_counted_only`: does nothing else. `limits`: of the
-- caller, who sees no other run.
local function cancel(id, seq, nominal, origin, seen, likely, now, is_counted_only, limits)
    local instance = instance_of(id, seq, nominal, origin, seen, likely)
    if not instance then
        return cancel_waiting(id, seq, nominal, origin, likely, now, is_counted_only, limits)
    elseif limits and not is_unanswered_within(limits, instance, redis.call('HGET', K.runs, instance), redis.call('HGET', K.jobs, id)) then
        return false
    elseif not is_counted_only then
        each_run(1, function()
            return instance
        end, function()
            local _, _, attempt = read_run(known_runs[instance])
            emit_cancelled(id, seq, nominal, origin, attempt, instance)
            end_run(instance, CANCELLED, now, 0, 0, '', nil, true)
        end)
    end
    return true
end
