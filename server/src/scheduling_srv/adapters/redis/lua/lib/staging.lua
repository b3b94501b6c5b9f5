--!include base due_job job later limits member minutes numbers obeying outage outbox pauses ranks starting states
-- The decisions of one staging call.
local function new_stage(token, now, cutoff, missed)
    local found = redis.call('HMGET', K.meta, 'tail', 'reset', 'cleared', 'last_run', 'staged', 'format', 'resumed_at', 'paused',
        'resting', 'instance', 'unanswered_since', 'opened', 'old_numbers')
    local last_number = tonumber(found[10] or '0')
    note_numbers(last_number, found[11] or '', token)
    stored_format = tonumber(found[6] or '0')
    local is_paused = (found[8] or '0') ~= '0'
    -- `start`: a number would be turned into a text for each run.
    return {now = now, start = number(now), cutoff = cutoff, missed = missed, tail = tonumber(found[1] or '0'),
        reset = tonumber(found[2] or '0'), cleared = tonumber(found[3] or '0'), last_run = tonumber(found[4] or '0'),
        marks = found[5] or '', resumed_at = tonumber(found[7] or '0'), is_paused = is_paused,
        is_resting = (found[9] or '0') ~= '0', last_number = last_number, opened = tonumber(found[12] or last_number),
        was_opened = found[12], old = found[13] or '', gone = {}, again = {}, plan = {}, ends = math.huge, ended = 0}
end

local function plant_next(stage, job, id, kind, text, nominal, from)
    local sort = job.kind
    if kind ~= NEXT or sort ~= INTERVAL then
        local gone = stage.gone
        gone[#gone + 1] = text
    end
    if sort < INTERVAL or not is_next_run(kind) then
        stage.ended = stage.ended + (kind == NEXT and 1 or 0)
        return
    end
    local next = member(job.seq, NEXT, id)
    if sort == INTERVAL then
        wait_again(stage, nominal + job.interval, from, next)
    else
        wait_for_plan(stage, nominal, next, nominal + CRON_STEP)
    end
end

local function is_void(stage, job)
    return job.seq <= stage.reset or (job.seq <= stage.cleared and is_resource(job.kind))
end

-- The job of a run that is due, or its type, is paused: the run waits for the end of the pause.
local function rest(stage, job, text, id, score, from, record, kind, nominal, attempt)
    local due = score - from
    if due > stage.now then
        look_no_further(stage, due)
        return
    end
    local seq, resting = job.seq, text
    nominal = nominal or nominal_of(id, job, due)
    stage.gone[#stage.gone + 1] = text
    if kind == NEXT and recurs(job) then
        resting = passed_member(seq, id, nominal)
        redis.call('ZADD', K.retries, seq, resting)
    elseif is_next_run(kind) then
        resting = retry_member(seq, id, nominal, 1)
        redis.call('ZADD', K.retries, seq, resting)
        emit_waiting(id, seq, nominal, 1, nominal)
        if job.rules then
            plant_after(stage, job, id, record, nominal, from, is_counted(job) and state_of(id, seq) or nil)
        else
            plant_next(stage, job, id, kind, text, nominal, from)
        end
    end
    leave_place(stage, job)
    if stage.pause then
        rest_for_job(seq, resting)
    else
        rest_for_type(job.type, from + nominal, resting)
    end
end

-- An occurrence that has passed in a pause of its type rests again, and wakes at once. If the job is
-- paused by now, it goes to that rest as it wakes, and the journal knows of it.
local function rest_and_wake(stage, job, ...)
    stage.pause = nil
    rest(stage, job, ...)
    resume_type(job.type)
    stage.is_more = true
end

local function consider(stage, text, id, score, from, record)
    local seq, kind, nominal, attempt, origin = read_place(text)
    local job, due = record and read_due(record, seq), score - from
    if not job or is_void(stage, job) then
        stage.gone[#stage.gone + 1] = text
        return
    end
    if stage.is_paused and is_next_run(kind) and due <= stage.now and recurs(job) and has_passed(job, due, kind) then
        return rest_and_wake(stage, job, text, id, score, from, record, NEXT, nominal, attempt)
    end
    if stage.is_paused and kind ~= MANUAL and (stage.pause or is_type_paused(job.type)) then
        if kind == MISSED and recurs(job) and is_in_pause(id, job, due - BEFORE) then
            kind = NEXT -- it was chosen in the pause: it passes
        end
        return rest(stage, job, text, id, score, from, record, kind, nominal, attempt)
    end
    if (origin or SCHEDULE) ~= SCHEDULE then
        note_more(job, record)
    end
    if job.rules then
        return obey(stage, job, text, id, score, from, record, kind, nominal, attempt, origin)
    end
    if kind == NEXT and job.kind >= INTERVAL and due < stage.cutoff then
        stage.gone[#stage.gone + 1] = text
        due = catch_up(stage, job, id, due, from)
        if not due then
            return
        end
        kind, text = MISSED, member(seq, MISSED, id)
    end
    if due > stage.now and (due >= stage.ends or kind ~= NEXT or job.parallel > 0) then
        look_no_further(stage, due) -- its place is decided at its time, and no later run goes before it
        return
    end
    nominal = nominal or due
    if job.parallel > 0 and count(job.type) >= job.parallel then
        block(job.parallel, job.type, text, from + due, held_since(origin, nominal, due))
        return
    end
    count_emitted(stage.now, due)
    start_run(id, job, nominal, attempt or 1, stage, origin)
    if kind >= KEPT then
        redis.call('ZREM', K.retries, text)
        emit(TOMBSTONE .. retry_key(id, seq, nominal, origin)) -- the topic has it now
    end
    plant_next(stage, job, id, kind, text, nominal, from)
end

-- Removes places of runs that nothing follows: they are the last in `gone`. Places of one rank follow
-- each other in `due`. A removal by rank takes half the time of one by members.
local function remove_ended(gone, places, size)
    local first, last = 1, 2 * size - 1
    if math.floor(places[first + 1] / RANK) ~= math.floor(places[last + 1] / RANK) then
        return
    end
    local from = redis.call('ZRANK', K.due, places[first])
    if redis.call('ZRANK', K.due, places[last]) ~= from + size - 1 then
        return -- others of another rank are due between them
    end
    redis.call('ZREMRANGEBYRANK', K.due, from, from + size - 1)
    for i = #gone, #gone - size + 1, -1 do
        gone[i] = nil
    end
end

-- Considers places in order, as long as there are bytes to read. `places`: member, score, and so on.
local function consider_all(stage, places)
    local ids, first, ended = {}, 1, stage.ended
    for i = 1, #places / 2 do
        ids[i] = read_id(places[2 * i - 1])
    end
    while first <= #ids and stage.bytes > 0 do
        local last, size = math.min(#ids, first - 1 + records_within(stage.bytes, stage.largest)), 0
        local pauses = stage.is_paused and redis.call('HMGET', K.paused, unpack(ids, first, last)) or {}
        stage.left = #ids - first + 1
        for i, record in ipairs(redis.call('HMGET', K.jobs, unpack(ids, first, last))) do
            local place = first - 1 + i
            local score = tonumber(places[2 * place])
            stage.pause = pauses[i]
            consider(stage, places[2 * place - 1], ids[place], score, score - score % RANK, record)
            size = size + (record and #record or 0)
        end
        stage.bytes = stage.bytes - size
        first = last + 1
    end
    if first > 1 and stage.ended - ended == first - 1 then
        remove_ended(stage.gone, places, first - 1)
    end
    return #ids
end

-- The due places of a rank, at most `limit`. Returns how many there are.
local function consider_due(stage, rank, limit)
    if limit <= 0 or stage.bytes <= 0 then
        return 0
    end
    local from = rank * RANK
    return consider_all(stage, redis.call('ZRANGE', K.due, number(from), number(from + stage.now), 'BYSCORE',
        'LIMIT', 0, limit, 'WITHSCORES'))
end

-- What falls due until `last`, at most `limit` places: by time first, as it will be due.
local function consider_soon(stage, last, limit)
    local found, unplanned = {}, redis.call('ZRANGE', K.plan, 0, 0, 'WITHSCORES')[2]
    if unplanned then
        look_no_further(stage, tonumber(unplanned) + CRON_STEP)
    end
    local lowest, highest = ranks()
    for rank = lowest, highest do
        local from = rank * RANK
        local soon = redis.call('ZRANGE', K.due, '(' .. number(from + stage.now), number(from + last), 'BYSCORE',
            'LIMIT', 0, limit, 'WITHSCORES')
        for i = 1, #soon, 2 do
            found[#found + 1] = {soon[i], soon[i + 1], tonumber(soon[i + 1]) - from, #found}
        end
    end
    table.sort(found, function(one, other)
        return one[3] < other[3] or (one[3] == other[3] and one[4] < other[4])
    end)
    local places = {}
    for i = 1, math.min(#found, limit) do
        push(places, found[i][1], found[i][2])
    end
    consider_all(stage, places)
end

local function save_stage(stage)
    in_batches('ZREM', K.due, stage.gone)
    in_batches('ZADD', K.due, stage.again, 2)
    in_batches('ZADD', K.plan, stage.plan, 2)
    save_runs(stage)
end
