--!include base definition later limits member outbox pauses remove states
-- What a job keeps when it is replaced: its phase, and the runs that are due (decision 11).
local MOST_KEPT = 100 -- runs of former schedules that a job keeps: the latest ones
local LOOKED_AT = 500 -- members that are read at a time

-- The occurrence that is due then, if it passes with a pause that has ended; nil: it does not. `ended`
-- says when. The new job is younger: staging would start the occurrence.
local function find_ended(job, due, kind)
    local passes = is_any_paused() and recurs(job) and has_passed(job, due, kind)
    return passes and {due = due, kind = NEXT, ended = waking_of(job)['until']} or nil
end

-- The occurrence that waits in `due`. `unseen`: it passes because the owner has not looked at it before the
-- pause or in it.
local function find_due(id, job, due, kind, now)
    local passes = due <= now and is_any_paused()
        and (kind == NEXT and is_paused_now(id, job) or kind == MISSED and is_in_pause(id, job, due - BEFORE))
    if passes then
        return {due = due, kind = NEXT, passed = true, unseen = true}
    end
    return find_ended(job, due, kind) or {due = due, kind = kind}
end

-- A cron job whose next time has not been computed. `after`: that of the last one.
local function find_planned(id, job, after, kind, now)
    if after < now and is_any_paused() and is_paused_now(id, job) then
        return {due = after + 1, kind = NEXT, passed = true}
    end
    return find_ended(job, after + 1, NEXT) or {due = after, kind = kind, planning = true}
end

-- The occurrences that have passed at rest; nil: none have.
local function find_resting(id, job)
    local since = passed_since(job.seq)
    if not since then
        return nil
    end
    local pause = redis.call('HEXISTS', K.paused, id) == 0 and waking_of(job)
    return {due = since, kind = NEXT, passed = not pause or nil, ended = pause and pause['until'] or nil}
end

-- What has passed in a pause that is over stays behind: the job goes on behind it.
local function go_past(next, job)
    if is_planned(job) then
        next.due, next.planning = math.max(next.due - 1, next.ended), true
    else
        next.due = open_after(job, next.due, next.ended)
    end
end

-- Where the next occurrence stands: due ms, kind of member, whether Python has to compute a time
-- first, and whether it has passed in a pause: `passed` if that may go on, else when it has `ended`.
local function find_next(id, job, now)
    for _, kind in ipairs({NEXT, MISSED}) do
        local text = member(job.seq, kind, id)
        local score = redis.call('ZSCORE', K.due, text)
        if score then
            return find_due(id, job, score - job.rank * RANK, kind, now)
        end
        score = job.parallel > 0 and redis.call('ZSCORE', blocked_key(job.parallel, job.type), text)
        if score then -- it was there in time: no outage may swallow it
            return {due = score - job.rank * RANK, kind = MISSED}
        end
        score = is_planned(job) and redis.call('ZSCORE', K.plan, text)
        if score then
            return find_planned(id, job, tonumber(score), kind, now)
        end
    end
    return find_resting(id, job)
end

-- When the runs were due that an earlier change of the schedule has left. Runs by hand and of a
-- backfill stand behind them, in any number; retries before them.
local function find_kept(job)
    local nominals, at = {}, 0
    while is_any_waiting() do
        local found = redis.call('ZRANGE', K.retries, job.seq, job.seq, 'BYSCORE', 'REV', 'LIMIT', at, LOOKED_AT)
        for _, text in ipairs(found) do
            local _, kind, nominal, attempt = read_place(text)
            if kind < KEPT or #nominals == MOST_KEPT then
                return nominals
            end
            nominals[#nominals + 1] = kind == KEPT and attempt == 1 and nominal or nil
        end
        if #found < LOOKED_AT then
            break
        end
        at = at + LOOKED_AT
    end
    return nominals
end

-- The runs of a former schedule that were due before the new one began. Python computed `due`, and
-- time has passed since: an occurrence of both schedules may be due by now, and is one run.
local function before(runs, due)
    local left = {}
    for _, nominal in ipairs(runs) do
        if nominal < due then
            left[#left + 1] = nominal
        end
    end
    return left
end

-- Whether the next occurrence of a former schedule runs by itself: it was due, was not emitted, and
-- has not passed. With jitter, its time may lie in a pause that ends before it is due.
local function is_left(id, job, next, now)
    if next.due > now or (next.passed and not next.unseen) then
        return false
    elseif next.kind ~= NEXT then
        return true
    end
    return not next.planning and not (is_any_paused() and is_in_pause(id, job, next.due))
end

local function keep_run(runs, nominal)
    table.insert(runs, 1, nominal)
    runs[MOST_KEPT + 1] = nil
end

-- What follows a run that was decided before a pause, and waits: it passes. The run is kept.
local function find_behind(id, job, decided, runs, now)
    local pause, is_paused = waking_of(job), is_paused_now(id, job)
    if not pause and not is_paused then
        return decided
    end
    keep_run(runs, decided.due)
    local due = is_planned(job) and decided.due + 1 or decided.due + job.interval
    if is_paused then
        return {due = due, kind = NEXT, passed = due <= now or is_planned(job) or nil}
    end
    return {due = due, kind = NEXT, ended = pause['until']}
end

local function keep_recurring(id, old, new, due, now)
    local next, runs = find_next(id, old, now), find_kept(old)
    if next and not next.planning then
        next.due = nominal_of(id, old, next.due)
    end
    if next and next.kind == MISSED and not next.planning and is_any_paused() then
        next = find_behind(id, old, next, runs, now)
    end
    if next and next.ended then
        go_past(next, old)
    end
    if next and is_same_schedule(old, new) then
        next.runs = runs
        return next
    end
    if next and is_left(id, old, next, now) then
        keep_run(runs, next.due)
    end
    runs = before(runs, due)
    return #runs > 0 and {due = due, kind = NEXT, runs = runs} or nil
end

-- What the new job has of the old one: `due`, `kind` and `planning` of its next occurrence, and
-- `runs`, the nominal times of further ones. `stays`: its only run is under way, and ends it as it
-- is. nil: it begins anew.
local function keep(id, old, new, due, now)
    if old.kind >= INTERVAL and new.kind >= INTERVAL then
        return keep_recurring(id, old, new, due, now)
    end
    local is_out = is_same_when(id, old, new, due) and not waits_for(id, old)
    return is_out and old.type == new.type and {due = due, stays = old.seq, runs = {}} or nil
end

-- Says where the next occurrence of a job stands whose occurrences have passed at rest: there, or if
-- neither the job nor its type is paused any more, as `go_on` says. `open`: for the journal, as this
-- pause may be over when a rebuild reads it.
local function place_passed(kept, job, is_paused, now)
    kept.open = open_after(job, kept.due, now)
    if is_paused or is_type_paused(job.type) then
        kept.rests, kept.paused_type = true, not is_paused and job.type or nil
    elseif is_planned(job) then
        kept.planning, kept.plan_after = true, math.max(kept.due - 1, now)
    else
        kept.due = kept.open
    end
end

-- Puts what was kept into the indexes; `places` are those that go into `due`; `wait` says when an
-- occurrence is due. Returns when something is due.
local function plant(kept, seq, id, rank, places, wait)
    local due = kept.stays and kept.due or wait(kept.due)
    if kept.planning then
        redis.call('ZADD', K.plan, kept.plan_after or kept.due, member(seq, kept.kind, id))
        if kept.kind == NEXT and not kept.passed then -- a rebuild has to know of its emission: as attempt 0
            redis.call('ZADD', K.retries, seq, retry_member(seq, id, kept.due, 0))
            any_waiting = true
            emit_waiting(id, seq, kept.due, 0, kept.due)
        end
    elseif kept.rests then
        rest_passed(seq, id, kept.due, kept.paused_type, rank * RANK + kept.due)
        any_waiting = true
    elseif not kept.stays then
        push(places, rank * RANK + due, member(seq, kept.kind, id))
    end
    local first = kept.due
    for _, nominal in ipairs(kept.runs) do
        local text = retry_member(seq, id, nominal, 1)
        push(places, rank * RANK + nominal, text)
        redis.call('ZADD', K.retries, seq, text)
        any_waiting = true
        emit_waiting(id, seq, nominal, 1, nominal)
        first = math.min(first, nominal)
    end
    return first
end
