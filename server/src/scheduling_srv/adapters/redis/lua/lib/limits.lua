--!include base job member
-- Runs that are due but held because their type has no free place (docs/contract.md).
local function blocked_key(limit, type)
    return K.blocked .. number(limit) .. ':' .. type
end

-- To be called whenever there may be room in a type: the next staging looks.
local function mark_freed(type)
    if redis.call('EXISTS', K.limits .. type) == 1 then
        redis.call('SADD', K.freed, type)
        return true
    end
    return false
end

local function unblock(limit, type, text)
    local key = blocked_key(limit, type)
    redis.call('ZREM', K.waiting, text)
    if redis.call('ZREM', key, text) == 1 and redis.call('EXISTS', key) == 0 then
        redis.call('SREM', K.limits .. type, number(limit))
    end
end

local function block(limit, type, text, score, nominal)
    redis.call('ZREM', K.due, text)
    redis.call('ZADD', blocked_key(limit, type), score, text)
    redis.call('SADD', K.limits .. type, number(limit))
    redis.call('ZADD', K.waiting, nominal, text)
end

-- Since when a run is held. The nominal time of one of another origin may lie long before: a rebuild
-- need not read from there.
local function held_since(origin, nominal, due)
    return (origin or SCHEDULE) == SCHEDULE and nominal or due
end

local releases, release_bytes = 1000, BUDGET / 2 -- runs that one call may still move, bytes it may still read

-- The member as it goes back to `due`: it was there in time, so no outage swallows it. nil: it is
-- void.
local function settled(text)
    local seq, kind, id = read_member(text)
    local record = redis.call('HGET', K.jobs, id)
    release_bytes = release_bytes - (record and #record or 0)
    if record and read_seq(record) == seq then
        return kind == NEXT and member(seq, MISSED, id) or text
    end
end

-- Moves as many of the best placed held runs back to `due` as there are free places. A number: more
-- than one call may move; the next call goes on. It is that of the type's limits, as far as it was
-- looked at.
local function release(type)
    if releases <= 0 or release_bytes <= 0 then
        redis.call('SADD', K.freed, type)
        return 0
    end
    local running = tonumber(redis.call('HGET', K.types, type) or '0')
    local limits = redis.call('SMEMBERS', K.limits .. type)
    for _, limit in ipairs(limits) do
        local free = tonumber(limit) - running
        while free > 0 do
            local head = redis.call('ZRANGE', blocked_key(limit, type), 0, 0, 'WITHSCORES')
            if not head[1] then
                break
            end
            if releases <= 0 or release_bytes <= 0 then
                redis.call('SADD', K.freed, type)
                return #limits
            end
            releases = releases - 1
            unblock(limit, type, head[1])
            local text = settled(head[1])
            if text then
                redis.call('ZADD', K.due, head[2], text)
                free = free - 1
            end
        end
    end
    releases = releases - math.floor(#limits / 20) -- they took their time as well
end
