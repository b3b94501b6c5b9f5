--!include base limits
local CRON_STEP = 1000 -- ms from one occurrence of a cron job to the next, at least

-- The first nominal time after now that the journal leaves open, of a job whose occurrences have passed
-- since this one. Of cron jobs it is no occurrence: see `read_open_from`.
local function open_after(job, nominal, now)
    if is_planned(job) then
        return now - now % CRON_STEP + 1
    end
    return nominal + math.max(0, math.floor((now - nominal) / job.interval) + 1) * job.interval
end

-- What a staging call leaves to a later one. No run that falls due later is staged ahead of it.
local function look_no_further(stage, due)
    stage.ends = math.min(stage.ends, due)
end

-- Puts an occurrence that is due at `due` back among those that wait; `from`: of its rank.
local function wait_again(stage, due, from, text)
    push(stage.again, from + due, text)
    look_no_further(stage, due)
end

-- Python computes the occurrence after `nominal`, or the latest one that was missed. It is not due
-- before `due`.
local function wait_for_plan(stage, nominal, text, due)
    push(stage.plan, nominal, text)
    look_no_further(stage, due)
end

-- A run does not start: it leaves the place that it may have been given to others that are held.
local function leave_place(stage, job)
    if job.parallel > 0 and mark_freed(job.type) then
        stage.is_more = true
    end
end
