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

-- The member as it goes back to `due`: it was there in time, so no outage swallows it. nil: it is void.
local function settled(text)
    local seq, kind, id = read_member(text)
    local record = redis.call('HGET', K.jobs, id)
    if record and read_seq(record) == seq then
        return kind == NEXT and member(seq, MISSED, id) or text
    end
end

-- Moves as many of the best placed held runs back to `due` as there are free places.
local function release(type)
    local running = tonumber(redis.call('HGET', K.types, type) or '0')
    for _, limit in ipairs(redis.call('SMEMBERS', K.limits .. type)) do
        local free = tonumber(limit) - running
        while free > 0 do
            local head = redis.call('ZRANGE', blocked_key(limit, type), 0, 0, 'WITHSCORES')
            if not head[1] then
                break
            end
            unblock(limit, type, head[1])
            local text = settled(head[1])
            if text then
                redis.call('ZADD', K.due, head[2], text)
                free = free - 1
            end
        end
    end
end
