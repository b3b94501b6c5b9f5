--!include base minutes ran records tallies telling
-- What became of runs (decision 31): gathered, and saved once a call, where the format is 2.
local SERIALS = 10 * SERIAL_SIZE -- bytes of the serials of a job: its last ten runs are kept
local FAILURES, FAILED_TYPES = 100, 1000 -- errors of a type, and types, that are told apart
local NO_ANSWER = 'No worker answered in time.'
local OUTCOMES = {done = RAN_DONE, failed = RAN_FAILED, ['timed-out'] = RAN_TIMED_OUT, cancelled = RAN_CANCELLED,
    refused = RAN_REFUSED}

local kept = {} -- runs that have ended, in order: see `keep_run`
local skips = {} -- id -> outcome -> the run of `kept` that stands for a row of them

-- `number_of` runs with this outcome. `job`: nil or false if it is gone.
local function keep_run(id, job, seq, type, nominal, outcome, now, number_of)
    local most = math.max(1, job and job.attempts or 1)
    local run = {id = id, job = job, seq = seq, type = type, nominal = nominal, outcome = outcome, ended = now,
        number = number_of, most = most, attempts = 0, origin = SCHEDULE, instance = 0, started = 0, problem = ''}
    kept[#kept + 1] = run
    return run
end

-- A run has its final outcome, one of `OUTCOMES`. Of one-time jobs only failures are kept.
local function note_ended(instance, id, type, job, seq, nominal, attempt, origin, outcome, now, problem)
    if not has_format(2) then
        return
    end
    local is_done = outcome == 'done'
    if outcome ~= 'cancelled' then
        count_ended(now, is_done)
    end
    if is_done and (not job or job.kind < INTERVAL) then
        return
    end
    if job and job.kind < INTERVAL and job.seq ~= seq then
        job = nil -- another job has the id by now
    end
    local ended = keep_run(id, job, seq, type, nominal, OUTCOMES[outcome], now, 1)
    ended.attempts, ended.most, ended.origin, ended.instance = attempt, math.max(attempt, ended.most), origin, tonumber(instance)
    ended.problem = outcome == 'timed-out' and NO_ANSWER or problem
end

-- Occurrences of a recurring job have passed without a run, the last one at `nominal`. `why`: one of
-- the words WHY_...
local function note_passed(id, job, nominal, why, now, number_of)
    if number_of <= 0 or not has_format(2) then
        return
    end
    local outcome = why == WHY_OUTAGE and RAN_MISSED or RAN_SKIPPED
    count_skipped(now, number_of)
    local row = skips[id] or {}
    skips[id] = row
    if row[outcome] then
        row[outcome].number, row[outcome].nominal = row[outcome].number + number_of, nominal
    else
        row[outcome] = keep_run(id, {kind = INTERVAL}, job.seq, job.type, nominal, outcome, now, number_of)
    end
    row[outcome].problem = why
end

-- A one-time job is over before its run has started. `job`: as `read_job` returns it.
local function note_unstarted(id, job, nominal, now, problem)
    if has_format(2) then
        count_ended(now, false)
        keep_run(id, job, job.seq, job.type, nominal, RAN_FAILED, now, 1).problem = problem
    end
end

-- When the runs were started: to be called before they leave `running` and `started`.
local function note_starts()
    for _, run in ipairs(kept) do
        local started = run.instance > 0
            and (redis.call('ZSCORE', K.running, run.instance) or redis.call('ZSCORE', K.started, run.instance))
        run.started = tonumber(started or 0)
    end
end

local function serial_of(number_in_shard)
    return struct.pack(SERIAL, number_in_shard)
end

local function ids_of_runs(is_wanted)
    local ids, known = {}, {}
    for _, run in ipairs(kept) do
        if is_wanted(run) and not known[run.id] then
            known[run.id] = true
            ids[#ids + 1] = run.id
        end
    end
    return ids
end

-- id -> what a hash has of it.
local function read_hash(key, ids)
    local found = {}
    for first = 1, #ids, BATCH do
        local last = math.min(first + BATCH - 1, #ids)
        for i, text in ipairs(redis.call('HMGET', key, unpack(ids, first, last))) do
            found[ids[first + i - 1]] = text or nil
        end
    end
    return found
end

local function is_recurring(run)
    return run.job and run.job.kind >= INTERVAL and not is_forgotten(run.id)
end

local function is_once(run)
    return run.job and run.job.kind < INTERVAL
end

local dropped, dropped_once = {}, {} -- serials that a job does not keep any more

-- Adds a serial to those of a job; the oldest one goes to `left` if there are too many.
local function push_serial(serials, serial, left)
    if #serials >= SERIALS then
        left[#left + 1] = struct.unpack(SERIAL, serials)
        serials = string.sub(serials, SERIAL_SIZE + 1)
    end
    return serials .. serial_of(serial)
end

-- A row of skipped occurrences leaves one run in the history: the latest.
local function count_run_in(tally, run, serial)
    local outcome, serials = run.outcome, tally.serials
    if outcome ~= RAN_CANCELLED or run.attempts > 0 then -- others count as emitted
        tally[outcome + 1] = tally[outcome + 1] + run.number
    end
    if (outcome == RAN_SKIPPED or outcome == RAN_MISSED) and tally[9] == outcome and serials ~= '' then
        dropped[#dropped + 1] = struct.unpack(SERIAL, serials, #serials - SERIAL_SIZE + 1)
        serials = string.sub(serials, 1, -SERIAL_SIZE - 1)
    end
    tally.serials, tally[9] = push_serial(serials, serial, dropped), outcome
end

local function save_tallies(base)
    local ids = ids_of_runs(is_recurring)
    local found, places, tallies = read_hash(K.tallies, ids), {}, {}
    for n, run in ipairs(kept) do
        if is_recurring(run) then
            tallies[run.id] = tallies[run.id] or read_tally(found[run.id])
            count_run_in(tallies[run.id], run, base + n)
        end
    end
    for _, id in ipairs(ids) do
        push(places, id, pack_tally(tallies[id]))
    end
    in_batches('HSET', K.tallies, places, 2)
end

local function save_once(base)
    local ids = ids_of_runs(is_once)
    if #ids == 0 then
        return
    end
    local found, places, rings = read_hash(K.failed_once, ids), {}, {}
    for n, run in ipairs(kept) do
        if is_once(run) then
            push(places, run.ended, number(base + n))
            if run.outcome == RAN_FAILED or run.outcome == RAN_TIMED_OUT then
                keep_record(number(base + n), run.job.record)
            end
            found[run.id] = push_serial(found[run.id] or '', base + n, dropped_once)
        end
    end
    for _, id in ipairs(ids) do
        push(rings, id, found[id])
    end
    in_batches('ZADD', K.ended_once, places, 2)
    in_batches('HSET', K.failed_once, rings, 2)
end

-- Type -> digest of an error -> how many runs have failed with it, and the last one of them.
local function failures_by_error()
    local types = {}
    for _, run in ipairs(kept) do
        if run.outcome == RAN_FAILED or run.outcome == RAN_TIMED_OUT then
            local errors = types[run.type] or {}
            local digest = string.sub(redis.sha1hex(run.problem), 1, 16)
            local failure = errors[digest] or {count = 0}
            types[run.type], errors[digest] = errors, failure
            failure.count, failure.last = failure.count + 1, run
        end
    end
    return types
end

-- The rarest errors of a type go, the oldest of them first; those of this call stay.
local function drop_failures(key, errors)
    local found, others = redis.call('HGETALL', key), {}
    for i = 1, #found, 2 do
        if not errors[found[i]] then
            local size, last = struct.unpack(FAILED_WITH, found[i + 1])
            others[#others + 1] = {digest = found[i], size = size, last = last}
        end
    end
    table.sort(others, function(one, other)
        return one.size < other.size or (one.size == other.size and one.last < other.last)
    end)
    local digests = {}
    for n = 1, math.min(#others, #found / 2 - FAILURES) do
        digests[n] = others[n].digest
    end
    for i = 1, #found, 2 do -- a call may bring more than there may be
        if #found / 2 - #digests > FAILURES and errors[found[i]] then
            digests[#digests + 1] = found[i]
        end
    end
    in_batches('HDEL', key, digests)
end

local function save_failures_of(type, errors)
    local key, digests, fields = K.errors .. type, {}, {}
    for digest in pairs(errors) do
        digests[#digests + 1] = digest
    end
    local found, latest = read_hash(key, digests), 0
    for _, digest in ipairs(digests) do
        local failure, before = errors[digest], found[digest] and struct.unpack(FAILED_WITH, found[digest]) or 0
        local run = failure.last
        latest = math.max(latest, run.ended)
        push(fields, digest, struct.pack(FAILED_WITH, before + failure.count, run.ended, run.seq, run.nominal, run.origin,
            #run.problem) .. run.problem .. run.id)
    end
    in_batches('HSET', key, fields, 2)
    redis.call('ZADD', K.failed_types, latest, type)
    if redis.call('HLEN', key) > FAILURES then
        drop_failures(key, errors)
    end
end

local function save_failures()
    for type, errors in pairs(failures_by_error()) do
        save_failures_of(type, errors)
    end
    local over = redis.call('ZCARD', K.failed_types) - FAILED_TYPES
    if over > 0 then
        local oldest = redis.call('ZPOPMIN', K.failed_types, over)
        for i = 1, #oldest, 2 do
            redis.call('UNLINK', K.errors .. oldest[i])
        end
    end
end

local function save_runs_that_ended(base)
    local is_dropped, old, texts, places = {}, {}, {}, {}
    for _, serial in ipairs(dropped) do
        is_dropped[serial] = true
        old[#old + 1] = serial <= base and number(serial) or nil
    end
    for n, serial in ipairs(dropped_once) do
        is_dropped[serial] = true
        old[#old + 1], dropped_once[n] = number(serial), number(serial)
    end
    for n, run in ipairs(kept) do
        if not is_dropped[base + n] then
            local serial = number(base + n)
            push(texts, serial, pack_ran(run))
            push(places, serial, serial)
        end
    end
    in_batches('HSET', K.history, texts, 2)
    in_batches('ZADD', K.ended, places, 2)
    in_batches('HDEL', K.history, old)
    in_batches('ZREM', K.ended, old)
    in_batches('ZREM', K.ended_once, dropped_once)
    forget_records(dropped_once)
end

-- Occurrences that have passed in this call: an event for each row of them.
local function tell_all_passed()
    for _, row in pairs(skips) do
        for _, run in pairs(row) do
            tell_passed(run)
        end
    end
end

local function save_history()
    tell_all_passed()
    if #kept > 0 then
        local base = redis.call('HINCRBY', K.meta, 'history', #kept) - #kept
        save_tallies(base)
        save_once(base)
        save_failures()
        save_runs_that_ended(base)
    end
end
at_the_end[#at_the_end + 1] = save_history
