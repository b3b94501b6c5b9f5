--!include base job due_job member limits outbox marker run numbers starting outage staging due taking
-- Moves what is due and may run into the outbox, and hands out what is there if that is wanted.
-- ARGV: token, now, limit, catch-up window, 'latest' or 'skip', most entries in the outbox,
--       and to hand out entries what `take.lua` is given
-- Returns: 'ok' | 'lost' | 'diverged' | 'full', runs staged, jobs to plan, next due ms or '',
--          oldest start ms or '', and what `take.lua` hands out
if not owns(ARGV[1]) then
    return {'lost'}
end
local FREED = 100 -- types whose held runs one call looks at
local now, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
local published = tonumber(ARGV[7])
if published and not trim(published, ARGV[8]) then
    return {'diverged'}
end
if redis.call('LLEN', K.outbox) >= tonumber(ARGV[6]) then
    return {'full'}
end
local stage = new_stage(now, note_outage(now, tonumber(ARGV[4])), ARGV[5])

local freed = redis.call('SPOP', K.freed, FREED)
for _, type in ipairs(freed) do
    release(type)
end
for rank = 0, 4 do
    local from = rank * RANK
    local due = limit > 0
            and redis.call('ZRANGE', K.due, number(from), number(from + now), 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES')
        or {}
    local ids = {}
    for i = 1, #due, 2 do
        ids[#ids + 1] = read_id(due[i])
    end
    local records = #ids > 0 and redis.call('HMGET', K.jobs, unpack(ids)) or {}
    for i, record in ipairs(records) do
        stage.left = #ids - i + 1
        consider(stage, due[2 * i - 1], ids[i], tonumber(due[2 * i]), from, record)
    end
    limit = limit - #ids
end
save_stage(stage)
local staged = #entries
if staged + #stage.again + #stage.plan > 0 then -- occurrences that were swallowed are settled as well
    emit_marker(now)
end
flush()
local oldest = redis.call('ZRANGE', K.running, 0, 0, 'WITHSCORES')[2] or ''
local look_at = #freed == FREED and number(now) or next_due() -- there may be more of them
local result = {'ok', staged, redis.call('ZCARD', K.plan), look_at, oldest}
return published and hand_out(result, published, tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])) or result
