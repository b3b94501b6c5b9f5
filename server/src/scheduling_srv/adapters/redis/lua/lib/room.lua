-- Room in Redis: jobs are taken in up to nine tenths of `maxmemory`. The rest is for the runs of
-- what is there, so that a Redis that clients have filled empties by itself.
local function is_crowded()
    local info = redis.pcall('INFO', 'memory')
    local function of(field) -- where INFO is forbidden nothing is known, and Redis refuses when it is full
        return type(info) == 'string' and tonumber(string.match(info, '\n' .. field .. ':(%d+)')) or 0
    end
    local limit = of('maxmemory')
    return limit > 0 and of('used_memory') - of('mem_not_counted_for_evict') > 0.9 * limit
end
