-- Takes the next due jobs out of the schedule, and notes them until their transaction is known to be
-- committed: the list of the batch before the last one is dropped.
-- KEYS: due, jobs, lists of the odd and of the even batches, lease
-- ARGV: now, limit, 3 or 4: which list, token
-- Returns: due ms of what is next or '', then for each job: id, due ms, value
if redis.call('GET', KEYS[5]) ~= ARGV[4] then
    return redis.error_reply('lost')
end
local list = KEYS[tonumber(ARGV[3])]
redis.call('DEL', list)
local found = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
local result = {''}
if #found > 0 then
    local ids = {}
    for i = 1, #found, 2 do
        ids[#ids + 1] = found[i]
    end
    local values = redis.call('HMGET', KEYS[2], unpack(ids))
    local notes = {}
    for i, id in ipairs(ids) do
        result[#result + 1] = id
        result[#result + 1] = found[2 * i]
        result[#result + 1] = values[i]
        notes[2 * i - 1] = id
        notes[2 * i] = values[i]
    end
    redis.call('ZREM', KEYS[1], unpack(ids))
    redis.call('HDEL', KEYS[2], unpack(ids))
    redis.call('RPUSH', list, unpack(notes))
end
if #found < 2 * tonumber(ARGV[2]) then
    result[1] = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] or ''
end
return result
