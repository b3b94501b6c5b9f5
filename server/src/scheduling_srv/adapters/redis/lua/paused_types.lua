--!include base
-- All types that are paused. There are 1,000 at most.
-- Returns: 'ok' | 'not ready', then type and note of each
if not is_ready() then
    return {'not ready'}
end
local result, found = {'ok'}, redis.call('HGETALL', K.paused_types)
for i = 1, #found, 2 do
    push(result, found[i], found[i + 1])
end
return result
