--!include base
-- Trims what is published and hands out the next entries; notes first how far they go.
-- ARGV: token, number of the last published entry, most entries, most bytes
-- Returns: 'ok' | 'lost' | 'diverged', number before the first entry, number of
--          entries there are, entries ...
if not owns(ARGV[1]) then
    return {'lost'}
end
local published, most, bytes = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local done = published - meta('trimmed')
if done < 0 or published > meta('taken') or done > redis.call('LLEN', K.outbox) then
    return {'diverged'}
end
if done > 0 then
    redis.call('LTRIM', K.outbox, done, -1)
    redis.call('HSET', K.meta, 'trimmed', number(published))
    local incarnation = redis.call('HGET', K.meta, 'incarnation')
    redis.call('PUBLISH', K.wake, 'published ' .. incarnation .. ' ' .. number(published))
end
local result = {'ok', number(published), redis.call('LLEN', K.outbox)}
local at = 0
while at < most and bytes > 0 do
    local piece = redis.call('LRANGE', K.outbox, at, math.min(at + 100, most) - 1)
    for _, entry in ipairs(piece) do
        if bytes > 0 then
            result[#result + 1] = entry
            bytes = bytes - #entry
            at = at + 1
        end
    end
    if #piece < 100 then
        break
    end
end
if at > 0 then
    redis.call('HSET', K.meta, 'taken', number(published + at))
end
return result
