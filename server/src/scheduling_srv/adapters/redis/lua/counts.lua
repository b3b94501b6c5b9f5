--!include base
--!args types...
-- How much there is of what operators ask for. Changes nothing, and takes no longer the more there
-- is.
-- Returns: 'ok' | 'not ready', jobs, jobs and retries that wait for their time, retries, held runs,
--          unanswered runs, then for each type its unanswered runs
if not is_ready() then
    return {'not ready'}
end
local result = {
    'ok',
    redis.call('HLEN', K.jobs),
    redis.call('ZCARD', K.due) + redis.call('ZCARD', K.plan),
    redis.call('ZCARD', K.retries),
    redis.call('ZCARD', K.waiting),
    redis.call('HLEN', K.runs),
}
for i = types_at, #args do
    push(result, tonumber(redis.call('HGET', K.types, args[i]) or '0'))
end
return result
