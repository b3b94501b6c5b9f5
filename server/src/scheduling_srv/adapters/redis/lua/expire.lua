--!include answer base marker outbox run
--!args token now:int timeout:int cap:int most:int limit
-- Counts runs without an answer as failed (docs/contract.md).
-- `timeout`, `cap` (of the backoff): ms. `most`: waiting retries of a job. `limit`: runs to look
-- at; the call ends with the one that uses up the budget.
-- Returns: 'ok' | lost(), number of runs looked at, of those that have expired, then see `tally`
if not owns(token) then
    return {lost()}
end
local first
local late_from, late_place, late_at = meta('late_from'), meta('late_place'), meta('late_at')
local published = math.max(meta('trimmed'), late_from)

-- When somebody could see the run: what waited in the outbox was published later than it was
-- staged. What was published before keeps its time: a rebuild reads the topic from the earliest of
-- them.
local function seen_at(place)
    if place > published then
        return now
    end
    return place > late_from and place <= late_place and late_at or 0
end

local late = redis.call('ZRANGE', K.running, '-inf', number(now - timeout), 'BYSCORE', 'LIMIT', 0, limit)
local looked_at, expired = 0, 0
for _, instance in ipairs(late) do
    if bytes_read >= BUDGET then
        break
    end
    looked_at = looked_at + 1
    local _, _, _, place = read_run(redis.call('HGET', K.runs, instance))
    if seen_at(place) > now - timeout then
        redis.call('ZADD', K.running, seen_at(place), instance)
    else
        local _, due = end_run(instance, TIMED_OUT, now, cap, most, '')
        expired = expired + 1
        first = due and math.min(first or due, due) or first
    end
end
if #late > 0 then
    emit_marker(now)
end
flush(first)
return {'ok', looked_at, expired, tally()}
