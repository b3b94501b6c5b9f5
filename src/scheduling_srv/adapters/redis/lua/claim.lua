--!include base job
-- Claims job ids for a call that decides about them, or none of them.
-- ARGV: token, ms that the claim lasts, ids ...
-- Returns: 'ok' | 'not ready' | 'claimed' (by another call) | 'moving' (to another shard),
--          then for each id the kind of the job that lives here, or -1
if not is_ready() then
    return {'not ready'}
end
local moves = redis.call('EXISTS', K.moving) == 1
local result = {'ok'}
for i = 3, #ARGV do
    if moves and redis.call('HEXISTS', K.moving, ARGV[i]) == 1 then
        return {'moving'}
    end
    local holder = redis.call('GET', K.claim .. ARGV[i])
    if holder and holder ~= ARGV[1] then
        return {'claimed'}
    end
    local record = redis.call('HGET', K.jobs, ARGV[i])
    result[#result + 1] = record and (read_places(record)) or -1
end
for i = 3, #ARGV do
    redis.call('SET', K.claim .. ARGV[i], ARGV[1], 'PX', ARGV[2])
end
return result
