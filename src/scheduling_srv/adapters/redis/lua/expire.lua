--!include base job member limits outbox marker order remove run answer
-- Counts runs without an answer as failed (docs/contract.md).
-- ARGV: token, now, completion timeout ms, cap of the backoff in ms, most waiting retries of a job, most
--       runs; they end with the one that uses up the budget
-- Returns: 'ok' | lost(), number of runs looked at, of those that have expired, then see `tally`
if not owns(ARGV[1]) then
    return {lost()}
end
local now, timeout, first = tonumber(ARGV[2]), tonumber(ARGV[3]), nil
local late_from, late_place, late_at = meta('late_from'), meta('late_place'), meta('late_at')
local published = math.max(meta('trimmed'), late_from)

-- When somebody could see the run: what waited in the outbox was published later than it was staged. What
-- was published before keeps its time: a rebuild reads the topic from the earliest of them.
local function seen_at(place)
    if place > published then
        return now
    end
    return place > late_from and place <= late_place and late_at or 0
end

local late = redis.call('ZRANGE', K.running, '-inf', number(now - timeout), 'BYSCORE', 'LIMIT', 0, ARGV[6])
local looked_at, expired = 0, 0
for _, instance in ipairs(late) do
    if bytes_read >= BUDGET then
        break
    end
    looked_at = looked_at + 1
    local _, _, _, place = struct.unpack(RUN, redis.call('HGET', K.runs, instance))
    if seen_at(place) > now - timeout then
        redis.call('ZADD', K.running, seen_at(place), instance)
    else
        local _, due = end_run(instance, TIMED_OUT, now, tonumber(ARGV[4]), tonumber(ARGV[5]), '')
        expired = expired + 1
        first = due and math.min(first or due, due) or first
    end
end
if #late > 0 then
    emit_marker(now)
end
flush(first)
return {'ok', looked_at, expired, tally()}
