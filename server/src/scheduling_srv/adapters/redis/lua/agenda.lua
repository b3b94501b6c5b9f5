--!include base deadlines due
--!args now:int timeout:int
-- What a test clock has to wait for, and where it goes next (decision 35). Changes nothing.
-- `timeout`: of runs without an answer, ms.
-- Returns: 'ok' | 'not ready', 1 if the owner has something to do at `now`, else 0, ms of the next
--          due run or time-out, or '', unanswered runs, and the first byte of each outbox entry
if not is_ready() then
    return {'not ready'}
end
local MOST_ENTRIES = 100 -- of the outbox: while there are more, some of them are no markers
local instants = {tonumber(next_due())}
local oldest = redis.call('ZRANGE', K.running, 0, 0, 'WITHSCORES')[2]
if oldest then
    instants[#instants + 1] = tonumber(oldest) + timeout
end
instants[#instants + 1] = head_of(K.deadlines)
local next = #instants > 0 and math.min(unpack(instants))
local unsettled = redis.call('ZCARD', K.plan) + redis.call('EXISTS', K.freed) + redis.call('EXISTS', K.resumed)
local letters = {}
for i, entry in ipairs(redis.call('LRANGE', K.outbox, 0, MOST_ENTRIES - 1)) do
    letters[i] = string.sub(entry, 1, 1)
end
local is_busy = unsettled > 0 or (next and next <= now)
return {'ok', is_busy and 1 or 0, next and number(next) or '', redis.call('HLEN', K.runs), table.concat(letters)}
