--!include base member numbers numerals opening outbox run
-- Starts runs: what is noted of them is stored by `save_runs`, all at once.
local begun, started, opened, types, last_run = {}, {}, {}, {}, 0
local to_score = numerals()
local OPENED_AT_REST = 500 -- in each of the calls that start no run
local OLD = 1000 -- ms: most runs are answered before, and need not be opened
local timed, ending_by = {}, {} -- of runs with a deadline: when they begin, and the deadlines

local function count(type)
    types[type] = types[type] or tonumber(redis.call('HGET', K.types, type) or '0')
    return types[type]
end

-- The entry of a run of a job with rules or labels, whose headers say more.
local function emit_more(id, job, instance, nominal, attempt, timeout, origin)
    local labels = job.labels
    emit(struct.pack(QUEUED, QUEUE_MORE, job.kind, instance, nominal, attempt, job.seq, #id, #job.trace,
        job.type_size, job.data_size) .. id .. job.ready .. job.trace
        .. struct.pack(QUEUED_MORE, origin, math.max(1, job.attempts), timeout, job.number, #labels) .. labels)
end

-- The time of a run begins. Returns how long its job lets it be unanswered, in ms; 0: the setting says it.
local function begin(job, start, name)
    local timeout = job.rules and job.rules.timeout or 0
    if timeout == 0 then
        push(begun, start, name)
        return 0
    end
    push(timed, start, name)
    push(ending_by, number(start + timeout), name)
    return timeout
end

-- `origin`: nil for the schedule.
local function start_run(id, job, nominal, attempt, stage, origin)
    if attempt > 1 then
        redis.call('ZREM', K.retries, retry_member(job.seq, id, nominal, attempt, origin))
    end
    origin = origin or SCHEDULE
    local instance, name = claim_instance(stage.left)
    local place, type, trace, n = stage.tail + #entries + 1, job.type, job.trace, #started
    last_run = place
    started[n + 1] = name
    started[n + 2] = pack_run(job.seq, nominal, attempt, place, type, id, origin)
    -- The time of a run that is staged ahead begins when it is due.
    local start = nominal > stage.now and number(nominal) or stage.start
    types[type] = (types[type] or count(type)) + 1
    if job.labels then
        push(opened, to_score(job.seq), name)
        emit_more(id, job, instance, nominal, attempt, begin(job, start, name), origin)
    else
        local m = #begun
        begun[m + 1], begun[m + 2] = start, name
        emit(struct.pack(QUEUED, QUEUE, job.kind, instance, nominal, attempt, job.seq, #id, #trace,
            job.type_size, job.data_size) .. id .. job.ready .. trace)
    end
end

-- The last number that was given OLD ms ago; nil: not known yet. `meta.old_numbers`: an instant in ms, and
-- the last number by then. Once its runs are open, it is noted anew.
local function old_number(stage, left)
    local at, number_then = string.match(stage.old, '^(%d+) (%d+)$')
    at, number_then = tonumber(at), tonumber(number_then)
    local waiting = number_then and distance(stage.opened, number_then) or 0
    if waiting == 0 or waiting > left or at > stage.now then
        redis.call('HSET', K.meta, 'old_numbers', stage.start .. ' ' .. number(stage.last_number))
        return nil
    end
    return stage.now >= at + OLD and number_then or nil
end

-- Puts runs into `open` that are not there yet: it looks at twice as many numbers as staging has passed
-- if it would leave too many, or at some old ones if it has started none. Returns whether the next call
-- of this kind has more to do.
local function open_older(stage)
    local last = numbered or stage.last_number
    local left = distance(stage.opened, last)
    if left > 0 and not numbered then
        local old = old_number(stage, left)
        return old ~= nil and open_runs(stage.opened, old, OPENED_AT_REST) ~= old
    elseif left > LEFT * SHARDS then
        open_runs(stage.opened, last, 2 * distance(stage.last_number, last) / SHARDS)
    end
    return false
end

local function save_runs(stage)
    if numbered then -- first: no later call gives these numbers again, whatever becomes of this one
        redis.call('HSET', K.meta, 'instance', number(numbered), 'last_run', number(last_run))
    end
    in_batches('HSET', K.runs, started, 2)
    in_batches('ZADD', K.running, begun, 2)
    in_batches('ZADD', K.started, timed, 2)
    in_batches('ZADD', K.deadlines, ending_by, 2)
    if has_format(2) then -- an owner of format 1 would leave them there
        in_batches('ZADD', K.open, opened, 2)
        if not stage.was_opened and numbered then
            redis.call('HSET', K.meta, 'opened', number(stage.opened))
        end
        stage.opens_more = open_older(stage)
    end
    for type, running in pairs(types) do
        if running > 0 then -- others were only looked at
            redis.call('HSET', K.types, type, running)
        end
    end
end
