--!include backfills base limits member order outbox pauses states tallies unique
local any_waiting -- whether `retries` holds anything: asked once a call

local function is_any_waiting()
    if any_waiting == nil then
        any_waiting = redis.call('EXISTS', K.retries) == 1
    end
    return any_waiting
end

local any_by_hand -- whether runs by hand of one-time jobs may wait: asked once a call

local function is_any_by_hand()
    if any_by_hand == nil then
        any_by_hand = meta('by_hand') > 0
        if any_by_hand and not is_any_waiting() then
            redis.call('HDEL', K.meta, 'by_hand')
        end
    end
    return any_by_hand
end

-- A run by hand of a one-time job waits.
local function note_by_hand()
    redis.call('HSET', K.meta, 'by_hand', 1)
    any_by_hand, any_waiting = true, true
end

-- Takes out a retry that waits, maybe for years, of a job that goes; also from the journal.
local function remove_retry(text, parallel, type)
    local seq, _, id, nominal, _, origin = read_member(text)
    redis.call('ZREM', K.retries, text)
    redis.call('ZREM', K.due, text)
    end_rest(type, text)
    if parallel > 0 then
        unblock(parallel, type, text)
    end
    emit(TOMBSTONE .. retry_key(id, seq, nominal, origin))
end

local retries_left = 100 -- what one call removes; `sweep_retries.lua` removes those of jobs with more

-- From here on none of them runs: staging drops a retry whose job is gone.
local function remove_retries(job)
    local waiting = redis.call('ZRANGE', K.retries, job.seq, job.seq, 'BYSCORE', 'LIMIT', 0, retries_left + 1)
    if #waiting > retries_left then
        redis.call('HSET', K.orphans, number(job.seq), struct.pack(ORPHAN, job.parallel) .. job.type)
        redis.call('PUBLISH', K.wake, 'sweep')
        return
    end
    retries_left = retries_left - #waiting
    for _, text in ipairs(waiting) do
        remove_retry(text, job.parallel, job.type)
    end
end

-- Takes the record out, and the member of a job that waits in `due` alone.
local function take_out(id, text, later)
    if later then
        later.ids[#later.ids + 1] = id
        later.due[#later.due + 1] = text
        return
    end
    redis.call('HDEL', K.jobs, id)
    if text then
        redis.call('ZREM', K.due, text)
    end
end

-- Takes a job out of every index. Its unanswered runs stay until they are answered. `later`: lists of
-- ids and members, which the caller takes out of `jobs` and `due`.
local function remove_job(id, job, later)
    local is_in_due_alone = not is_planned(job) and job.parallel == 0
    take_out(id, is_in_due_alone and member(job.seq, NEXT, id) or nil, later)
    if not is_in_due_alone then
        for _, kind in ipairs({NEXT, MISSED}) do
            local text = member(job.seq, kind, id)
            redis.call('ZREM', K.due, text)
            redis.call('ZREM', K.plan, text)
            if is_planned(job) then
                redis.call('ZREM', K.aside, text)
                redis.call('HDEL', K.passing, text)
            end
            if job.parallel > 0 then
                unblock(job.parallel, job.type, text)
            end
        end
    end
    if job.attempts > 1 or ((job.kind >= INTERVAL or is_any_resting() or is_any_by_hand()) and is_any_waiting()) then
        remove_retries(job)
    end
    if job.parallel > 0 then
        mark_freed(job.type)
    end
    if job.rules then
        forget_state(id, job)
    end
    if job.kind >= INTERVAL then
        forget_tally(id)
    end
    if job.more_size > 0 then
        give_key_back(id, job.record)
    end
    if is_any_paused() then
        unpause_job(id)
    end
    if job.kind >= INTERVAL then
        end_backfill(id)
    end
    if is_resource(job.kind) then
        unlist(job.seq, id, job.creator, job.type, labels_of(job))
    end
end

local RESTS = 0 -- instead of the score of a retry that is at rest
local NOTED = 1000 -- retries of a job that come back when its replacement is undone

local function held_score(job, text)
    return job.parallel > 0 and redis.call('ZSCORE', blocked_key(job.parallel, job.type), text)
end

local function resting_score(job, text)
    local is_at_rest = is_any_resting()
        and (redis.call('ZSCORE', K.resting, text) or redis.call('ZSCORE', K.resting_types .. job.type, text))
    return is_at_rest and RESTS
end

-- Where a job waits: 'd' (due, or held back), 'p' (to be planned) or '-' (its run is under way);
-- the kind of its member and its score.
local function find_place(id, job)
    for _, kind in ipairs({NEXT, MISSED}) do
        local text = member(job.seq, kind, id)
        local score = redis.call('ZSCORE', K.due, text)
        if score then
            return 'd', kind, score
        end
        score = held_score(job, text)
        if score then
            return 'd', MISSED, score
        end
        score = is_planned(job) and (redis.call('ZSCORE', K.plan, text) or redis.call('ZSCORE', K.aside, text))
        if score then
            return 'p', kind, score
        end
    end
    return '-', NEXT, 0
end

-- Notes something of a replaced job, by its id. `text`: nil or false if there is none.
local function note_part(letter, id, text)
    if text then
        replaced[#replaced + 1] = section(letter, struct.pack(OLD_STATE_PART, #id) .. id .. text)
    end
end

-- Notes a job that another one is about to replace, so that the replacement can be undone.
local function note_replaced(id, record, job)
    local place, kind, score = find_place(id, job)
    replaced[#replaced + 1] = section(OLD_JOB, struct.pack(OLD_JOB_PART, place, kind, score, #id) .. id .. record)
    note_part(OLD_STATE, id, job.rules and has_state(job) and redis.call('HGET', K.states, id))
    note_part(OLD_PAUSE, id, pause_of(id))
    if job.kind >= INTERVAL then
        note_part(OLD_TALLY, id, redis.call('HGET', K.tallies, id))
        local backfill = backfill_of(id, job.seq)
        note_part(OLD_BACKFILL, id, backfill and pack_backfill(backfill))
    end
    local retries = (job.attempts > 1 or job.kind >= INTERVAL or is_any_resting() or is_any_by_hand())
            and redis.call('ZRANGE', K.retries, job.seq, job.seq, 'BYSCORE', 'LIMIT', 0, NOTED)
        or {}
    for _, text in ipairs(retries) do
        local at = redis.call('ZSCORE', K.due, text) or held_score(job, text) or resting_score(job, text)
        if at then
            replaced[#replaced + 1] = section(OLD_RETRY, struct.pack(OLD_RETRY_PART, at) .. text)
        end
    end
end

local restoring -- whether a restore is under way: asked once a call

-- Notes removals while restores are under way: what is gone since they began stays gone.
local function remember_removed(id, job)
    if restoring == nil then
        restoring = redis.call('EXISTS', K.restores) == 1
    end
    if is_resource(job.kind) and restoring then
        redis.call('SADD', K.removed, id)
    end
end
