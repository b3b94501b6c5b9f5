--!include base member outbox
-- Notes of pauses: JSON with the creation number of their time, which a reset makes void.
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

-- Returns whether it was paused.
local function unpause_job(id)
    if redis.call('HDEL', K.paused, id) == 0 then
        return false
    end
    count_pauses(-1)
    emit(TOMBSTONE .. id .. PAUSE_KEY)
    return true
end

local function pause_type(type, note)
    if redis.call('HSETNX', K.paused_types, type, note) == 0 then
        return false
    end
    count_pauses(1)
    emit_pause(TYPE_PAUSE_KEY .. type, note)
    return true
end

local function unpause_type(type)
    if redis.call('HDEL', K.paused_types, type) == 0 then
        return false
    end
    count_pauses(-1)
    emit(TOMBSTONE .. TYPE_PAUSE_KEY .. type)
    return true
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
    if redis.call('HINCRBY', K.meta, 'resting', change) == 0 then
        redis.call('UNLINK', K.resumed) -- staging does not look there while nothing rests
    end
    any_resting = nil
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
