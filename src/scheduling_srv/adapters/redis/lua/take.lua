--!include base
-- Trims what is published and hands out the next entries; notes first how far they go.
-- ARGV: token, number of the last published entry, lineage, most entries, most bytes
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
local result = {'ok', number(published), redis.call('LLEN', K.outbox)}
local at, group = 0, 0
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
if at > 0 then
    redis.call('HSET', K.meta, 'taken', number(published + at))
end
return result
