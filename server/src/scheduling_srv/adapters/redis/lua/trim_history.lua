--!include base forgetting
--!args token now:int most:int most_bytes:int lasts:int limit:int
-- Takes out of the history what is too old or too much.
-- `most`: runs. `most_bytes`: of the records of jobs that failed. `lasts`: ms that failures of one-time
-- jobs are kept. `limit`: runs, and as many records, that one call takes out.
-- Returns: 'ok' | lost(), '1' if there may be more
if not owns(token) then
    return {lost()}
end
local TYPES = 10 -- types whose failures one call forgets
local over = math.min(limit, redis.call('ZCARD', K.ended) - most)
local oldest = over > 0 and redis.call('ZRANGE', K.ended, 0, over - 1) or {}
forget_runs(oldest)
local old = redis.call('ZRANGE', K.ended_once, '-inf', number(now - lasts), 'BYSCORE', 'LIMIT', 0, limit)
forget_runs(old)

-- The oldest record; nil: no record has to go.
local function record_to_go()
    local serial = redis.call('LINDEX', K.records_order, 0)
    local is_there = serial and redis.call('HEXISTS', K.records, serial) == 1
    return serial and (not is_there or meta('records_bytes') > most_bytes) and serial or nil
end

local left, record = limit, record_to_go()
while record and left > 0 do
    redis.call('LTRIM', K.records_order, 1, -1)
    forget_records({record})
    left, record = left - 1, record_to_go()
end

local types = redis.call('ZRANGE', K.failed_types, '-inf', number(now - lasts), 'BYSCORE', 'LIMIT', 0, TYPES)
for _, type in ipairs(types) do
    redis.call('UNLINK', K.errors .. type)
end
in_batches('ZREM', K.failed_types, types)
return {'ok', (over == limit or #old == limit or record or #types == TYPES) and '1' or '0'}
