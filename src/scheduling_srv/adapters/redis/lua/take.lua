--!include base
-- Trims what is published and hands out the next entries; notes first how far they go.
-- ARGV: token, number of the last published entry, lineage, most entries, most bytes,
--       how many entries behind the published one were handed out before and are still under way
-- Returns: 'ok' | 'lost' | 'diverged', number before the first entry, number of entries there are, entries ...
if not owns(ARGV[1]) then
    return {'lost'}
end
local published, most, bytes = tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[5])
local done = published - meta('trimmed')
local here = lineage() == ARGV[3] and done >= 0 and done <= redis.call('LLEN', K.outbox)
if not here or published > meta('taken') then
    return {'diverged'}
end
if done > 0 then
    redis.call('LTRIM', K.outbox, done, -1)
    redis.call('HSET', K.meta, 'trimmed', number(published))
    if published <= meta('late_place') then
        redis.call('HSET', K.meta, 'late_at', redis.call('TIME')[1] .. '000') -- their time begins now
    end
    redis.call('PUBLISH', K.wake, 'published ' .. ARGV[3] .. ' ' .. number(published))
end
local at, group = tonumber(ARGV[6]), 0
local result = {'ok', number(published + at), redis.call('LLEN', K.outbox)}
most = most + at
local function is_wanted() -- a group that was begun is taken as a whole
    return (at < most and bytes > 0) or at < group
end
while is_wanted() do
    local piece = redis.call('LRANGE', K.outbox, at, math.min(at + 100, math.max(most, group)) - 1)
    for _, entry in ipairs(piece) do
        if not is_wanted() then
            break
        end
        result[#result + 1] = entry
        at, bytes = at + 1, bytes - #entry
        if string.byte(entry) == 71 then -- G, and how many follow
            group = at + struct.unpack('<I4', entry, 2)
        end
    end
    if #piece == 0 then
        break
    end
end
if #result > 3 then
    redis.call('HSET', K.meta, 'taken', number(published + at))
end
return result
