--!include base finishing history job later limits member minutes outbox pauses starting states waiting
-- The decisions of a staging call for jobs with rules (decision 30; the same in Python:
-- domain/run_rules.py).
local MOST_MADE_UP = 10000 -- runs of an outage, whatever the window

-- Occurrences that were due before were missed in an outage.
local function cutoff_of(stage, job, nominal)
    local missed, window = job.rules.missed, job.rules.window
    if missed == 0 then
        return stage.cutoff
    elseif missed < MISSED_UNLIMITED then
        return stage.resumed_at - window
    elseif job.kind == INTERVAL then
        local passed = math.floor((stage.resumed_at - nominal) / job.interval)
        return nominal + (passed - MOST_MADE_UP + 1) * job.interval
    end
    return stage.resumed_at - MOST_MADE_UP * CRON_STEP -- Python counts them
end

local function skips_missed(stage, job)
    local missed = job.rules.missed % MISSED_UNLIMITED
    return missed == MISSED_SKIP or (missed == 0 and stage.missed == 'skip')
end

local function is_over(job, state, nominal)
    local rules = job.rules
    return (rules.last > 0 and nominal > rules.last)
        or (state ~= nil and rules.max_runs > 0 and state.counted >= rules.max_runs and state.last ~= nominal)
end

-- Plants an occurrence of an interval, or the first one after it whose start deadline has not passed.
local function plant(stage, job, id, record, nominal, from)
    local rules = job.rules
    if rules.start_deadline > 0 then
        local behind = stage.now - rules.start_deadline - jitter_of(job) - nominal
        local late = math.max(0, math.ceil(behind / job.interval))
        nominal = nominal + late * job.interval
        note_passed(id, job, nominal - job.interval, WHY_DEADLINE, stage.now, late)
    end
    if rules.last > 0 and nominal > rules.last then
        finish(id, record, nominal, stage.now)
        return
    end
    wait_again(stage, note_nominal(id, job, nominal), from, member(job.seq, NEXT, id))
end

-- Plants what follows the occurrence of this nominal time, unless the job is finished.
local function plant_after(stage, job, id, record, nominal, from, state)
    if job.kind ~= INTERVAL and job.kind ~= CRON then
        return
    end
    local rules = job.rules
    if state and state.counted >= rules.max_runs then
        finish(id, record, nominal, stage.now)
    elseif job.kind == INTERVAL then
        plant(stage, job, id, record, nominal + job.interval, from)
    else
        wait_for_plan(stage, nominal, member(job.seq, NEXT, id), nominal + CRON_STEP)
    end
end

-- The occurrence of an outage that runs instead of this one; nil: none does now.
local function make_up(stage, job, id, record, nominal, from, cutoff)
    if is_planned(job) then
        wait_for_plan(stage, nominal, member(job.seq, MISSED, id), nominal)
        return nil
    end
    local passed = math.floor((cutoff - 1 - nominal) / job.interval)
    local latest, all = nominal + passed * job.interval, skips_missed(stage, job)
    note_passed(id, job, all and latest or latest - job.interval, WHY_OUTAGE, stage.now, all and passed + 1 or passed)
    if all then
        plant(stage, job, id, record, latest + job.interval, from)
        return nil
    end
    note_nominal(id, job, latest)
    return latest
end

-- A run that waited is not kept any more.
local function forget_kept(job, id, text, nominal, origin)
    redis.call('ZREM', K.retries, text)
    emit(TOMBSTONE .. retry_key(id, job.seq, nominal, origin))
end

-- A run that waited never starts. The job may have waited for it alone, or another run for its end.
local function drop_kept(stage, job, id, record, text, nominal)
    forget_kept(job, id, text, nominal)
    if job.kind == NOW or job.kind == ONCE then
        note_unstarted(id, read_job(record), nominal, stage.now, TOO_LATE)
        end_unstarted(id, record)
    elseif job.kind == ENDING and end_finished(id, read_job(record)) then
        return
    elseif job.rules.overlap == ONE and stage.is_resting then
        resume_job(job.seq, id)
        stage.is_more = true
    end
end

-- An occurrence is skipped; those of one-time jobs fail instead.
local function note_passed_of(stage, job, id, nominal, why)
    if job.kind >= INTERVAL then
        note_passed(id, job, nominal, why, stage.now, 1)
    end
end

-- A run does not start, and never will. `why`: see `note_passed`.
local function skip(stage, job, id, record, kind, text, nominal, from, state, why)
    leave_place(stage, job)
    if kind == KEPT then
        note_passed_of(stage, job, id, nominal, why)
        drop_kept(stage, job, id, record, text, nominal)
    elseif job.kind == NOW or job.kind == ONCE then
        note_unstarted(id, read_job(record), nominal, stage.now, TOO_LATE)
        end_unstarted(id, record)
    else
        note_passed_of(stage, job, id, nominal, why)
        plant_after(stage, job, id, record, nominal, from, state)
    end
end

-- Whether an earlier run of the job is open: it is unanswered, held, or waits for a retry. Of those
-- that were kept the first one starts.
local function has_open_run(job, kind)
    local retries, firsts = count_waiting(job.seq)
    return count_open(job.seq) + retries + (kind == KEPT and 0 or firsts) > 0
end

-- A run of the schedule comes due while an earlier one is open. Of ONE the first waits for its end.
local function overlap(stage, job, id, record, kind, text, nominal, from, state)
    local seq = job.seq
    leave_place(stage, job)
    local waits = job.rules.overlap == ONE and (kind == KEPT or redis.call('ZCOUNT', K.resting, seq, seq) == 0)
    if not waits then
        skip(stage, job, id, record, kind, text, nominal, from, state, WHY_OVERLAP)
    elseif kind == KEPT then
        rest_for_job(seq, text)
    else
        local resting = retry_member(seq, id, nominal, 1)
        redis.call('ZADD', K.retries, seq, resting)
        emit_waiting(id, seq, nominal, 1, nominal)
        rest_for_job(seq, resting)
        plant_after(stage, job, id, record, nominal, from, state)
    end
end

-- What becomes of the run at a place in `due`.
local function obey(stage, job, text, id, score, from, record, kind, nominal, attempt, origin)
    local due, rules, gone = score - from, job.rules, stage.gone
    local is_occurrence = is_next_run(kind)
    nominal = nominal or nominal_of(id, job, due)
    if kind == NEXT and job.kind >= INTERVAL then
        local cutoff = cutoff_of(stage, job, nominal)
        if due < cutoff then
            gone[#gone + 1] = text
            nominal = make_up(stage, job, id, record, nominal, from, cutoff)
            if not nominal then
                return
            end
            due, kind, text = nominal, MISSED, member(job.seq, MISSED, id)
        end
    end
    local is_decided_later = kind ~= NEXT or job.parallel > 0 or due ~= nominal or rules.overlap > 0
    if due > stage.now and (due >= stage.ends or is_decided_later) then
        look_no_further(stage, due)
        return
    end
    local is_first = is_occurrence or kind == KEPT
    local state = is_first and is_counted(job) and state_of(id, job.seq) or nil
    if is_first and job.kind >= INTERVAL and is_over(job, state, nominal) then
        gone[#gone + 1] = text
        leave_place(stage, job)
        if kind == KEPT then
            drop_kept(stage, job, id, record, text, nominal) -- the job ends with its next occurrence
        else
            finish(id, record, nominal, stage.now)
        end
        return
    end
    if is_first and rules.start_deadline > 0 and stage.now > due + rules.start_deadline then
        gone[#gone + 1] = text
        skip(stage, job, id, record, kind, text, nominal, from, state, WHY_DEADLINE)
        return
    end
    if is_first and rules.overlap > 0 and job.kind >= INTERVAL and has_open_run(job, kind) then
        gone[#gone + 1] = text
        overlap(stage, job, id, record, kind, text, nominal, from, state)
        return
    end
    if job.parallel > 0 and count(job.type) >= job.parallel then
        block(job.parallel, job.type, text, from + due, held_since(origin, nominal, due))
        return
    end
    gone[#gone + 1] = text
    job.number = state and count_run(id, job.seq, state, nominal) or 0
    if state then
        save_state(id, job.seq, state)
    end
    count_emitted(stage.now, due)
    start_run(id, job, nominal, attempt or 1, stage, origin)
    starts[job.seq] = (starts[job.seq] or 0) + 1
    if kind >= KEPT then
        forget_kept(job, id, text, nominal, origin)
    elseif is_occurrence then
        plant_after(stage, job, id, record, nominal, from, state)
    end
end
