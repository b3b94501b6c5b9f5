--!include base member
-- Recurring occurrences that were missed in an outage (docs/contract.md).
local function note_outage(now, window)
    local seen, cutoff = meta('watermark'), meta('cutoff')
    if seen > 0 and now - seen > math.max(window, 5000) then -- idle owners look every two seconds
        cutoff = now - window
        redis.call('HSET', K.meta, 'cutoff', number(cutoff))
    elseif cutoff > now - window then -- the clock went forward for a while, and back
        cutoff = now - window
        redis.call('HSET', K.meta, 'cutoff', number(cutoff))
    end
    redis.call('HSET', K.meta, 'watermark', number(now))
    return cutoff
end

-- A run is due at `due` that this call does not stage: later ones are not staged ahead of it.
local function look_no_further(stage, due)
    stage.ends = math.min(stage.ends, due)
end

-- Occurrences before the cutoff were missed in an outage: at most the latest of them runs. Returns
-- its due ms; nil: none does now, and the job has another place.
local function catch_up(stage, job, id, due, from)
    if is_planned(job) then
        push(stage.plan, due, member(job.seq, MISSED, id))
        look_no_further(stage, due)
        return nil
    end
    local latest = due + math.floor((stage.cutoff - 1 - due) / job.interval) * job.interval
    if stage.missed == 'skip' then
        push(stage.again, from + latest + job.interval, member(job.seq, NEXT, id))
        look_no_further(stage, latest + job.interval)
        return nil
    end
    return latest
end
