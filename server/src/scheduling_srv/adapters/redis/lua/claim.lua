--!include base job
--!args token lasts ids...
-- Claims job ids for a call that decides about them, or none of them.
-- `lasts`: ms that a claim holds.
-- Returns: 'ok' | 'not ready' | 'claimed' (by another call) | 'moving' (to another shard),
--          then for each id the kind of the job that lives here, or -1
if not is_ready() then
    return {'not ready'}
end
local moves = redis.call('EXISTS', K.moving) == 1
local result = {'ok'}
for i = ids_at, #args do
    if moves and redis.call('HEXISTS', K.moving, args[i]) == 1 then
        return {'moving'}
    end
    local holder = redis.call('GET', K.claim .. args[i])
    if holder and holder ~= token then
        return {'claimed'}
    end
    local record = redis.call('HGET', K.jobs, args[i])
    result[#result + 1] = record and (read_places(record)) or -1
end
for i = ids_at, #args do
    redis.call('SET', K.claim .. args[i], token, 'PX', lasts)
end
return result
