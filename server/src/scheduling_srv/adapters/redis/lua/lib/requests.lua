--!include base
-- Answers of requests that may be sent again (decision 30). They may be lost with Redis.
local KEPT_MS, MOST_REQUESTS = 900000, 1000000

-- The answer, as it was kept; nil: the request is new, or was forgotten.
local function recall(name)
    return name ~= '' and redis.call('GET', K.request .. name) or nil
end

local function keep_answer(name, answer)
    if name == '' then
        return
    end
    local now = tonumber(clock_ms())
    redis.call('SET', K.request .. name, answer, 'PX', KEPT_MS)
    redis.call('ZREMRANGEBYSCORE', K.requests, '-inf', number(now - KEPT_MS))
    redis.call('ZADD', K.requests, number(now), name)
    redis.call('PEXPIRE', K.requests, KEPT_MS)
    if redis.call('ZCARD', K.requests) > MOST_REQUESTS then
        redis.call('DEL', K.request .. redis.call('ZPOPMIN', K.requests)[1])
    end
end
