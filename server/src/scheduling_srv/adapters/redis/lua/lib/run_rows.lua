--!include base job listing member ran run
-- Rows of lists of runs: place, letter, RAN, and when the next attempt is due or the deadline is, or ''.
local BY_LIMIT, BY_OVERLAP, BY_PAUSE, BY_TYPE_PAUSE = 'P', 'O', 'J', 'Y' -- what holds a run that is due
local UNANSWERED, FAILED_ONCE, HAS_ENDED = 'R', 'T', 'E'
local STATE_OF = {P = 'H', O = 'H', J = 'H', Y = 'H', R = 'R', T = 'T', E = 'E'} -- as callers ask for them

-- What is asked for; '' or nil: any. `outcomes` and `origins` hold digits.
local asked = {states = '', type = '', outcomes = '', origins = '', problem = ''}

local function has(text, one)
    return text == '' or string.find(text, one, 1, true) ~= nil
end

-- Whether runs that have not ended may be shown.
local function wants_open()
    return asked.outcomes == '' and asked.problem == ''
end

local function is_asked_for(run)
    return has(asked.origins, number(run.origin)) and (asked.type == '' or asked.type == run.type)
        and run.nominal >= (asked.from or 0) and run.nominal < (asked.to or math.huge)
        and has(asked.outcomes, number(run.outcome)) and (asked.problem == '' or asked.problem == run.problem)
end

local function add_row(letter, text, at)
    push(page, last, letter)
    push(page, text, at and number(at) or '')
    budget.jobs, budget.bytes = budget.jobs - 1, budget.bytes - #text
end

-- Adds a run that has not ended, if it is asked for.
local function consider_open(letter, run, at)
    run.started, run.ended, run.instance = run.started or 0, 0, run.instance or 0
    run.outcome, run.problem = 0, ''
    if is_asked_for(run) then
        add_row(letter, pack_ran(run), at)
    end
end

-- The job of a run; nil: it is gone, or another one has its id.
local function job_of_run(id, seq)
    local record = read_record(id)
    return record and read_seq(record) == seq and read_job(record) or nil
end

local function rest_letter(id, type)
    if redis.call('HEXISTS', K.paused, id) == 1 then
        return BY_PAUSE
    end
    return redis.call('HEXISTS', K.paused_types, type) == 1 and BY_TYPE_PAUSE or BY_OVERLAP
end

-- A run that waits, held by a limit or until its time: of the member `text` of `due` or one like it. The
-- occurrence that comes next has no nominal time in its member.
local function consider_waiting(text, next_nominal, letter, at)
    local seq, _, id, nominal, attempt, origin = read_member(text)
    local job = has(asked.states, letter and STATE_OF[letter] or 'H') and job_of_run(id, seq)
    if job then
        consider_open(letter or rest_letter(id, job.type), {id = id, seq = seq, type = job.type, origin = origin or SCHEDULE,
            nominal = nominal or next_nominal, attempts = math.max(0, (attempt or 1) - 1),
            most = math.max(1, job.attempts)}, at)
    end
end

-- A member of `retries`. `is_own`: the list is that of its job; others show those that `parallel` holds
-- by themselves.
local function consider_retry(text, is_own)
    local _, kind, _, attempt = read_place(text)
    if kind == PASSED or attempt == 0 then
        return -- no run of theirs waits
    end
    local score = redis.call('ZSCORE', K.due, text)
    if score then
        if attempt > 1 then
            consider_waiting(text, nil, FAILED_ONCE, score % RANK)
        end
    elseif not redis.call('ZSCORE', K.waiting, text) then
        consider_waiting(text)
    elseif is_own then
        consider_waiting(text, nil, BY_LIMIT)
    end
end

local function start_of(instance)
    return redis.call('ZSCORE', K.running, instance) or redis.call('ZSCORE', K.started, instance)
end

-- nil: it is the completion timeout of the service.
local function deadline_of(instance)
    return tonumber(redis.call('ZSCORE', K.deadlines, instance) or '')
end

-- An unanswered run. `start`: nil if it is to be looked up.
local function consider_unanswered(instance, start)
    local run = redis.call('HGET', K.runs, instance)
    if not run then
        return
    end
    local seq, nominal, attempt, _, size, at, origin = read_run(run)
    local type, id = string.sub(run, at, at + size - 1), string.sub(run, at + size)
    if asked.type == '' or asked.type == type then
        local job = job_of_run(id, seq)
        consider_open(UNANSWERED, {id = id, seq = seq, type = type, origin = origin, nominal = nominal,
            attempts = attempt, most = math.max(attempt, job and job.attempts or 0), instance = tonumber(instance),
            started = start or tonumber(start_of(instance) or 0)}, deadline_of(instance))
    end
end

local function consider_ended(serial)
    local run = read_ran(serial)
    budget.reads = budget.reads - 1
    if run and is_asked_for(run) then
        add_row(HAS_ENDED, run.text)
    end
end
