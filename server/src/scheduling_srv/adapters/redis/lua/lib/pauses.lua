--!include base member outbox
-- Notes of pauses: JSON with the creation number of their time, which a reset makes void.
-- Runs that rested wake piece by piece. Until all of a type have, `waking` and the journal hold when its
-- pause was: a rebuild may find occurrences open that have passed in it (decision 30).
local any_paused -- whether there is any pause: asked once a call

local function is_any_paused()
    if any_paused == nil then
        any_paused = meta('paused') > 0
    end
    return any_paused
end

local function count_pauses(change)
    redis.call('HINCRBY', K.meta, 'paused', change)
    any_paused = nil
end

local function emit_pause(key, note)
    emit(struct.pack(KEYED, PAUSE, #key) .. key .. note)
end

-- Returns whether it was not paused before.
local function pause_job(id, note)
    if redis.call('HSETNX', K.paused, id, note) == 0 then
        return false
    end
    count_pauses(1)
    emit_pause(id .. PAUSE_KEY, note)
    return true
end

-- Returns whether it was paused. Its tombstone goes with what settles or removes the job, in one
-- transaction. A rebuild between them would find the job without its pause. Or it would find the
-- pause without its job, and pause a later one with this id.
local function unpause_job(id)
    if redis.call('HDEL', K.paused, id) == 0 then
        return false
    end
    count_pauses(-1)
    emit(TOMBSTONE .. id .. PAUSE_KEY)
    grouped = true
    return true
end

-- The pause of a type holds what has passed in an earlier one, if that is not known yet.
local function pause_type(type, note)
    if redis.call('HEXISTS', K.paused_types, type) == 1 then
        return false
    end
    local waking = redis.call('HGET', K.waking, type)
    if waking then
        redis.call('HDEL', K.waking, type)
        count_pauses(-1)
        note = '{"from":' .. number(cjson.decode(waking).from) .. ',' .. string.sub(note, 2)
    end
    redis.call('HSET', K.paused_types, type, note)
    count_pauses(1)
    emit_pause(TYPE_PAUSE_KEY .. type, note)
    return true
end

local function forget_type_pause(key, type)
    count_pauses(-redis.call('HDEL', key, type))
    emit(TOMBSTONE .. TYPE_PAUSE_KEY .. type)
end

-- Ends the pause with this note. `is_behind`: the owner has not looked at all that was due in it. A run
-- that is held hides what is due behind it.
local function unpause_type(type, text, now, is_behind)
    local note = cjson.decode(text)
    local may_have_passed = is_behind or note.from
        or redis.call('EXISTS', K.resting_types .. type, K.limits .. type) > 0
    if not may_have_passed then
        forget_type_pause(K.paused_types, type)
        return
    end
    local waking = '{"seq":' .. number(meta('seq')) .. ',"from":' .. number(note.from or note.since or 0) .. ',"until":'
        .. number(now) .. '}'
    redis.call('HDEL', K.paused_types, type)
    redis.call('HSET', K.waking, type, waking)
    emit_pause(TYPE_PAUSE_KEY .. type, waking)
end

local waking_types = {} -- type -> when its pause was, if its runs wake; else false

-- When the pause of the type was that has ended and whose runs wake; nil: the job was not in one.
local function waking_of(job)
    local type = job.type
    if waking_types[type] == nil then
        local text = redis.call('HGET', K.waking, type)
        waking_types[type] = text and cjson.decode(text) or false
    end
    local pause = waking_types[type]
    return pause and job.seq <= pause.seq and pause or nil
end

-- Whether an occurrence that is due then passes with such a pause, though it does not rest: the owner
-- was away, or a rebuild has found it open. `kind`: of its place. One that was due before the pause
-- passes too: else all that follow it would run, to the end of the pause. MISSED, the only one of an
-- outage that runs, passes if it was due in the pause.
local function has_passed(job, due, kind)
    local pause = waking_of(job)
    return pause ~= nil and due < pause['until'] and (kind == NEXT or pause.from < due)
end

-- A held run may have been due as the pause began: only one that is due later was chosen in the pause.
local BEFORE = 1 -- ms

local function holds_since(note, instant)
    local pause = note and cjson.decode(note)
    return pause and (pause.from or pause.since or 0) <= instant
end

-- Whether the job or its type is paused.
local function is_paused_now(id, job)
    return redis.call('HEXISTS', K.paused, id) + redis.call('HEXISTS', K.paused_types, job.type) > 0
end

-- Whether a past instant lies in a pause of the job or its type that has not ended. What was due
-- then passes, though the owner may not have looked at it.
local function is_in_pause(id, job, instant)
    return holds_since(redis.call('HGET', K.paused, id), instant)
        or holds_since(redis.call('HGET', K.paused_types, job.type), instant)
end

local FORGOTTEN_PAUSES = 100 -- that one call forgets, about

-- All that was due until now has been looked at, apart from what held runs hide, and the journal knows
-- what has passed.
local function forget_waking(now)
    local found = redis.call('HSCAN', K.waking, 0, 'COUNT', FORGOTTEN_PAUSES)[2]
    for i = 1, #found, 2 do
        if cjson.decode(found[i + 1])['until'] <= now and redis.call('EXISTS', K.limits .. found[i]) == 0 then
            forget_type_pause(K.waking, found[i])
        end
    end
end

local paused_types = {} -- type -> whether it is paused

local function is_type_paused(type)
    if paused_types[type] == nil then
        paused_types[type] = redis.call('HEXISTS', K.paused_types, type) == 1
    end
    return paused_types[type]
end

local any_resting -- whether any run rests: asked once a call

local function is_any_resting()
    if any_resting == nil then
        any_resting = meta('resting') > 0
    end
    return any_resting
end

local function count_resting(change)
    any_resting = nil
    if redis.call('HINCRBY', K.meta, 'resting', change) == 0 then
        redis.call('UNLINK', K.resumed) -- nothing of theirs is left
    end
end

local function rest_for_job(seq, text)
    count_resting(redis.call('ZADD', K.resting, seq, text))
end

local function rest_for_type(type, score, text)
    count_resting(redis.call('ZADD', K.resting_types .. type, score, text))
end

local function passed_member(seq, id, nominal)
    return struct.pack(RUN_MEMBER, seq, PASSED, nominal, 0) .. id
end

-- The occurrences of a job have passed at rest since this nominal time. `paused_type`: nil if it is the
-- job that is paused. `score`: of its place.
local function rest_passed(seq, id, nominal, paused_type, score)
    local text = passed_member(seq, id, nominal)
    redis.call('ZADD', K.retries, seq, text)
    if paused_type then
        rest_for_type(paused_type, score, text)
    else
        rest_for_job(seq, text)
    end
end

local JOB, TYPE = 'j', 't' -- how the members of `resumed` begin

-- What rests for this generation of a job is looked at again.
local function resume_job(seq, id)
    if is_any_resting() then
        redis.call('SADD', K.resumed, JOB .. number(seq) .. ':' .. id)
    end
end

local function resume_type(type)
    if is_any_resting() then
        redis.call('SADD', K.resumed, TYPE .. type)
    end
end

-- Since when the occurrences of a job have passed at rest: the nominal time of the first one. nil: none
-- have.
local function passed_since(seq)
    local waiting = is_any_resting() and redis.call('ZRANGE', K.retries, seq, seq, 'BYSCORE', 'REV', 'LIMIT', 0, 1)[1]
    local _, kind, nominal = nil, nil, nil
    if waiting then
        _, kind, nominal = read_place(waiting)
    end
    return kind == PASSED and nominal or nil
end

-- Takes a run of a job that goes out of rest.
local function end_rest(type, text)
    if is_any_resting() then
        local gone = redis.call('ZREM', K.resting, text) + redis.call('ZREM', K.resting_types .. type, text)
        count_resting(-gone)
    end
end

-- The pause of a job that is about to be replaced; nil: it is not paused.
local function pause_of(id)
    return is_any_paused() and redis.call('HGET', K.paused, id) or nil
end
