-- The decisions of one staging call.
local function note_outage(now, window)
    local seen, cutoff = meta('watermark'), meta('cutoff')
    if seen > 0 and now - seen > math.max(window, 10000) then -- idle owners look every few seconds
        cutoff = now - window
        redis.call('HSET', K.meta, 'cutoff', number(cutoff))
    end
    redis.call('HSET', K.meta, 'watermark', number(now))
    return cutoff
end

local function new_stage(now, cutoff, missed)
    return {now = now, cutoff = cutoff, missed = missed, tail = meta('tail'), reset = meta('reset'),
        gone = {}, again = {}, plan = {}}
end

local function push(list, score, text)
    list[#list + 1] = score
    list[#list + 1] = text
end

-- Occurrences before the cutoff were missed in an outage: at most the latest of them runs (CONTRACT 3.7).
local function catch_up(stage, job, id, text, due, from)
    if job.kind == CRON then
        stage.gone[#stage.gone + 1] = text
        push(stage.plan, due, member(job.seq, MISSED, id))
        return nil
    end
    local latest = due + math.floor((stage.cutoff - 1 - due) / job.interval) * job.interval
    if stage.missed == 'skip' then
        push(stage.again, from + latest + job.interval, text)
        return nil
    end
    return latest
end

local function plant_next(stage, job, id, kind, text, nominal, from)
    if job.kind == INTERVAL and kind ~= RETRY then
        push(stage.again, from + nominal + job.interval, text)
        return
    end
    stage.gone[#stage.gone + 1] = text
    if job.kind == CRON and kind ~= RETRY then
        push(stage.plan, nominal, member(job.seq, NEXT, id))
    end
end

local function consider(stage, text, score, from, record)
    local seq, kind, id, nominal, attempt = read_member(text)
    if not record or read_seq(record) ~= seq or seq <= stage.reset then
        stage.gone[#stage.gone + 1] = text
        return
    end
    local job, due = read_job(record), score - from
    if job.parallel > 0 and count(job.type) >= job.parallel then
        block(job.parallel, job.type, text, score, nominal or due)
        return
    end
    nominal = nominal or due
    if kind == NEXT and job.kind >= INTERVAL and due < stage.cutoff then
        nominal = catch_up(stage, job, id, text, due, from)
    end
    if nominal then
        start_run(id, job, nominal, attempt or 1, stage.now, stage.tail)
        plant_next(stage, job, id, kind, text, nominal, from)
    end
end

local function save_stage(stage)
    in_batches('ZREM', K.due, stage.gone)
    in_batches('ZADD', K.due, stage.again, 2)
    in_batches('ZADD', K.plan, stage.plan, 2)
    save_runs()
end

local function next_due()
    local first
    for rank = 0, 4 do
        local head = redis.call('ZRANGE', K.due, number(rank * RANK), '(' .. number((rank + 1) * RANK), 'BYSCORE',
            'LIMIT', 0, 1, 'WITHSCORES')[2]
        if head and (not first or tonumber(head) - rank * RANK < first) then
            first = tonumber(head) - rank * RANK
        end
    end
    return first and number(first) or ''
end
