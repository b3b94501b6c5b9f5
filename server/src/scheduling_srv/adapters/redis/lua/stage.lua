--!include base deadlines due job late limits marker outbox outage ranks resting staging starting taking
--!args token now:int lead:int limit:int window:int missed bounds
--!args published:int? known? ahead:int? most:int? most_bytes:int?
-- Moves what is due and may run into the outbox, and hands out what is there if that is wanted.
-- `lead`: ms; of what falls due so soon, it moves what waits for nothing but its time (decision 28).
-- `window`: catch-up window, ms. `missed`: 'latest' or 'skip'. `bounds`: see `is_full`. To hand out
-- entries it is given the arguments of `take.lua`.
-- Returns: 'ok' | lost() | 'diverged' | 'full', runs staged, their bytes, jobs to plan, next due ms
--          or '', oldest start ms or '' and first deadline ms or '' of unanswered runs, and what
--          `take.lua` hands out
if not owns(token) then
    return {lost()}
end
local FREED = 100 -- types whose held runs one call looks at
local REST = 10 -- ms between calls that put runs into `open`
if published and not trim(published, known, now) then
    return {'diverged'}
end
if is_full(bounds) then
    return {'full'}
end
local stage = new_stage(token, now, note_outage(now, window), missed)

local freed = redis.call('SPOP', K.freed, FREED)
local more = #freed == FREED -- types, or runs of them, that may start but are not back in `due` yet
for i, type in ipairs(freed) do
    local limits = release(type)
    more = more or limits ~= nil
    if limits and (limits ~= 1 or i < #freed) then
        limit = 0 -- a run may be better placed than those in `due`: none goes before it
    end
end
if stage.is_resting and wake_resumed(now) then
    more = true
end
stage.bytes, stage.largest = BUDGET / 2 + release_bytes, largest_record()
local lowest, highest = ranks()
for rank = lowest, highest do
    limit = limit - consider_due(stage, rank, limit)
end
if lead > 0 and limit > 0 and not more then
    consider_soon(stage, now + lead, limit)
end
save_stage(stage)
if stage.is_paused and not (more or stage.is_more or is_behind(now + 1)) then
    forget_waking(now)
end
local staged = #entries
if #started > 0 then
    mark_staging(stage.last_run, now, stage.marks)
end
if staged + #stage.again + #stage.plan > 0 then -- occurrences that were swallowed are settled as well
    emit_marker(now)
end
flush()
local oldest = redis.call('ZRANGE', K.running, 0, 0, 'WITHSCORES')[2] or ''
local deadline = head_of(K.deadlines)
if oldest == '' and not deadline then
    redis.call('UNLINK', K.late)
end
local look_at = (more or stage.is_more) and number(now) or next_due()
if stage.opens_more and (look_at == '' or tonumber(look_at) > now + REST) then
    look_at = number(now + REST)
end
local result = {'ok', staged, emitted, redis.call('ZCARD', K.plan), look_at, oldest, deadline and number(deadline) or ''}
return published and hand_out(result, published, ahead, most, most_bytes) or result
