--!include base history intervals later member
-- Recurring occurrences that were missed in an outage (docs/contract.md).
local IDLE = 5000 -- ms: idle owners look every two seconds

local function note_outage(now, window)
    local seen, cutoff = meta('watermark'), meta('cutoff')
    if seen > 0 and now - seen > IDLE then
        log_outage(seen, now)
    end
    if (seen > 0 and now - seen > IDLE) or meta('resumed_at') > now then
        redis.call('HSET', K.meta, 'resumed_at', number(now)) -- for jobs with a window of their own
    end
    if seen > 0 and now - seen > math.max(window, IDLE) then
        cutoff = now - window
        redis.call('HSET', K.meta, 'cutoff', number(cutoff))
    elseif cutoff > now - window then -- the clock went forward for a while, and back
        cutoff = now - window
        redis.call('HSET', K.meta, 'cutoff', number(cutoff))
    end
    redis.call('HSET', K.meta, 'watermark', number(now))
    return cutoff
end

-- Occurrences before the cutoff were missed in an outage: at most the latest of them runs. Returns
-- its due ms; nil: none does now, and the job has another place.
local function catch_up(stage, job, id, due, from)
    if is_planned(job) then
        wait_for_plan(stage, due, member(job.seq, MISSED, id), due)
        return nil
    end
    local passed = math.floor((stage.cutoff - 1 - due) / job.interval)
    local latest, all = due + passed * job.interval, stage.missed == 'skip'
    note_passed(id, job, all and latest or latest - job.interval, WHY_OUTAGE, stage.now, all and passed + 1 or passed)
    if all then
        wait_again(stage, latest + job.interval, from, member(job.seq, NEXT, id))
        return nil
    end
    return latest
end
