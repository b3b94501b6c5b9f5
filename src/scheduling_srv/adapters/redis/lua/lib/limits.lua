-- Runs that are due but held because their type has no free place (CONTRACT 3.4).
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

-- Whether the job of a member still is the one that the member was made for.
local function is_alive(text)
    local seq, _, id = read_member(text)
    local record = redis.call('HGET', K.jobs, id)
    return record and read_seq(record) == seq
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
            if is_alive(head[1]) then
                redis.call('ZADD', K.due, head[2], head[1])
                free = free - 1
            end
        end
    end
end
