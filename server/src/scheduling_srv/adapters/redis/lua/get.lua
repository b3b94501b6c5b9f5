--!include base
--!args bytes:int ids...
-- Jobs by their ids.
-- `bytes`: it takes no further jobs after so many.
-- Returns: 'ok' | 'not ready', then for each id that it has come to: record or nil
if not is_ready() then
    return {'not ready'}
end
local result = {'ok'}
for i = ids_at, #args do
    if bytes <= 0 then
        break
    end
    local record = redis.call('HGET', K.jobs, args[i])
    result[2 + i - ids_at], bytes = record, bytes - (record and #record or 0)
end
return result
