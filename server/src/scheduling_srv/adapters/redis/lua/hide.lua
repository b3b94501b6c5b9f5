--!include base
--!args now:int names...
-- Hides dead letters, which may be forgotten with Redis.
-- `names`: `partition:offset topic id`.
-- Returns: 'ok' | 'not ready' | 'old' (the store has an earlier format), how many were not hidden
if not is_ready() then
    return {'not ready'}
end
if not has_format(2) then
    return {'old'}
end
local MOST = 10000
local count = 0
for i = names_at, #args do
    count = count + redis.call('ZADD', K.hidden, 'NX', now, args[i])
end
local over = redis.call('ZCARD', K.hidden) - MOST
if over > 0 then
    redis.call('ZPOPMIN', K.hidden, over)
end
return {'ok', count}
