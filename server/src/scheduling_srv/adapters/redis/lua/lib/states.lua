--!include base outbox
-- Jitter and `max_runs`: what is noted of jobs that have one of them (decision 30).

-- The first 32 bits of a hash, as a share below 1 (scheduling_client/schedules/spread.py).
local function fraction(text)
    return tonumber(string.sub(redis.sha1hex(text), 1, 8), 16) / 4294967296
end

-- An interval is longer than its jitter, whatever was kept from a former schedule.
local function jitter_of(job)
    local jitter = job.rules and job.rules.jitter or 0
    return job.kind == INTERVAL and math.min(jitter, job.interval - 1) or jitter
end

-- When the occurrence of this nominal time is due.
local function delayed(id, job, nominal)
    local jitter = jitter_of(job)
    return jitter == 0 and nominal
        or nominal + math.floor(fraction(id .. '/' .. number(nominal)) * (jitter + 1))
end

local function is_counted(job)
    return job.rules ~= nil and job.rules.max_runs > 0 and job.kind >= INTERVAL
end

local function has_state(job)
    return job.rules ~= nil and (job.rules.jitter > 0 or is_counted(job))
end

-- The state of a job that has one: `nominal` of the next occurrence; of the runs that counted, `last`
-- nominal time and number.
local function state_of(id, seq)
    local text = redis.call('HGET', K.states, id)
    if text then
        local its_seq, nominal, last, counted = struct.unpack(STATE, text)
        if its_seq == seq then
            return {nominal = nominal, last = last, counted = counted}
        end
    end
    return {nominal = 0, last = 0, counted = 0}
end

local function save_state(id, seq, state)
    redis.call('HSET', K.states, id, struct.pack(STATE, seq, state.nominal, state.last, state.counted))
end

-- The next occurrence of a job with rules has this nominal time. Returns when it is due.
local function note_nominal(id, job, nominal)
    if has_state(job) then
        local state = state_of(id, job.seq)
        state.nominal = nominal
        save_state(id, job.seq, state)
    end
    return delayed(id, job, nominal)
end

-- The nominal time of the occurrence that is due then.
local function nominal_of(id, job, due)
    if job.rules and job.rules.jitter > 0 then
        return state_of(id, job.seq).nominal
    end
    return due
end

local function count_key(id)
    return id .. COUNT_KEY
end

-- Notes that a run counts, before its own entry. Returns its number.
local function count_run(id, seq, state, nominal)
    if state.counted == 0 or state.last ~= nominal then -- else a rebuild has lost the run alone
        state.counted, state.last = state.counted + 1, nominal
    end
    local key = count_key(id)
    emit(struct.pack(KEYED, COUNT, #key) .. key .. struct.pack(JOURNAL_COUNT, seq, nominal, state.counted))
    return state.counted
end

-- A new definition goes on counting.
local function keep_count(id, job, state, nominal)
    local mine = {nominal = nominal, last = 0, counted = 0}
    if state and state.counted > 0 and is_counted(job) then
        mine.last, mine.counted = state.last, state.counted
        count_run(id, job.seq, mine, mine.last)
    end
    save_state(id, job.seq, mine)
end

local function forget_state(id, job)
    if has_state(job) then
        redis.call('HDEL', K.states, id)
        if is_counted(job) then
            emit(TOMBSTONE .. count_key(id))
        end
    end
end
