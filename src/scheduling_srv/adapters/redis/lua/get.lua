--!include base
-- Jobs by their ids.
-- ARGV: bytes after which it takes no further ones, ids ...
-- Returns: 'ok' | 'not ready', then for each id that it has come to: record or nil
if not is_ready() then
    return {'not ready'}
end
local result, bytes = {'ok'}, tonumber(ARGV[1])
for i = 2, #ARGV do
    if bytes <= 0 then
        break
    end
    local record = redis.call('HGET', K.jobs, ARGV[i])
    result[i], bytes = record, bytes - (record and #record or 0)
end
return result
