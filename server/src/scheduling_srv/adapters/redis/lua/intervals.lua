--!include base
--!args job type
-- What the logs know that may concern a job.
-- `type`: of the job; '' if it is not known.
-- Returns: 'ok' | 'not ready', OUTAGE of each outage, OWNED of each owner, PAUSED_UNTIL of each pause
--          that has ended of the job and of its type, FAREWELL of each job with this id that is gone;
--          the oldest first in each
if not is_ready() then
    return {'not ready'}
end

local function of_these(key, concerns)
    local found = {}
    for _, text in ipairs(redis.call('LRANGE', key, 0, -1)) do
        found[#found + 1] = concerns(text) and text or nil
    end
    return found
end

local function is_its_pause(text)
    local _, is_of_type, size, at = struct.unpack(PAUSED_UNTIL, text)
    return string.sub(text, at, at + size - 1) == (is_of_type == 1 and type or job)
end

local function is_its_end(text)
    return string.sub(text, FAREWELL_SIZE + 1) == job
end

return {
    'ok',
    redis.call('LRANGE', K.outages, 0, -1),
    redis.call('LRANGE', K.owners, 0, -1),
    of_these(K.pauses, is_its_pause),
    of_these(K.farewells, is_its_end),
}
