--!include base due_job limits member outage outbox starting
-- The decisions of one staging call.
local function new_stage(now, cutoff, missed)
    local found = redis.call('HMGET', K.meta, 'tail', 'reset', 'cleared', 'last_run', 'staged')
    return {now = now, cutoff = cutoff, missed = missed, tail = tonumber(found[1] or '0'),
        reset = tonumber(found[2] or '0'), cleared = tonumber(found[3] or '0'), last_run = tonumber(found[4] or '0'),
        marks = found[5] or '', gone = {}, again = {}, plan = {}}
end

local function plant_next(stage, job, id, kind, text, nominal, from)
    if kind ~= NEXT or job.kind ~= INTERVAL then
        stage.gone[#stage.gone + 1] = text
    end
    if job.kind == INTERVAL and is_next_run(kind) then
        push(stage.again, from + nominal + job.interval, member(job.seq, NEXT, id))
    end
    if is_planned(job) and is_next_run(kind) then
        push(stage.plan, nominal, member(job.seq, NEXT, id))
    end
end

local function is_void(stage, job)
    return job.seq <= stage.reset or (job.seq <= stage.cleared and job.kind ~= NOW)
end

local function consider(stage, text, id, score, from, record)
    local seq, kind, nominal, attempt = read_place(text)
    local job, due = record and read_due(record, seq), score - from
    if not job or is_void(stage, job) then
        stage.gone[#stage.gone + 1] = text
        return
    end
    if kind == NEXT and job.kind >= INTERVAL and due < stage.cutoff then
        stage.gone[#stage.gone + 1] = text
        due = catch_up(stage, job, id, due, from)
        if not due then
            return
        end
        kind, text = MISSED, member(seq, MISSED, id)
    end
    nominal = nominal or due
    if job.parallel > 0 and count(job.type) >= job.parallel then
        block(job.parallel, job.type, text, from + due, nominal)
        return
    end
    start_run(id, job, nominal, attempt or 1, stage)
    if kind == KEPT then
        redis.call('ZREM', K.retries, text)
        emit(TOMBSTONE .. retry_key(id, seq, nominal)) -- the topic has it now
    end
    plant_next(stage, job, id, kind, text, nominal, from)
end

local function save_stage(stage)
    in_batches('ZREM', K.due, stage.gone)
    in_batches('ZADD', K.due, stage.again, 2)
    in_batches('ZADD', K.plan, stage.plan, 2)
    save_runs()
end
