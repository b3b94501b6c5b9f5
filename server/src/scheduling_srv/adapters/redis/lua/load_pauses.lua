--!include base
--!args token pauses...
--!row pause key name note
-- Rebuild: pauses of jobs (whose id is `key`; `name` is '') and of types (`name`), also those that have
-- ended and whose runs wake. All jobs are loaded before.
-- Returns: how many are loaded | lost()
if not owns(token) then
    return lost()
end
local loaded = 0
for i = pauses_at, #args, PAUSE_ROW do
    local id, type, note = pause_row(i)
    if id == '' then
        local has_ended = cjson.decode(note)['until'] ~= nil
        loaded = loaded + redis.call('HSET', has_ended and K.waking or K.paused_types, type, note)
    elseif redis.call('HEXISTS', K.jobs, id) == 1 then
        loaded = loaded + redis.call('HSET', K.paused, id, note)
    end
end
redis.call('HINCRBY', K.meta, 'paused', loaded)
return loaded
