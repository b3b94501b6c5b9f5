-- Recurring occurrences that were missed in an outage (CONTRACT 3.7).
local function note_outage(now, window)
    local seen, cutoff = meta('watermark'), meta('cutoff')
    if seen > 0 and now - seen > math.max(window, 10000) then -- idle owners look every few seconds
        cutoff = now - window
        redis.call('HSET', K.meta, 'cutoff', number(cutoff))
    elseif cutoff > now - window then -- the clock went forward for a while, and back
        cutoff = now - window
        redis.call('HSET', K.meta, 'cutoff', number(cutoff))
    end
    redis.call('HSET', K.meta, 'watermark', number(now))
    return cutoff
end

-- Occurrences before the cutoff were missed in an outage: at most the latest of them runs.
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
