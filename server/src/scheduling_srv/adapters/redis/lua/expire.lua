--!include answer base late marker outbox run
--!args token now:int timeout:int cap:int most:int limit
-- Counts runs without an answer as failed (docs/contract.md).
-- `timeout`, `cap` (of the backoff): ms. `most`: waiting retries of a job. `limit`: runs to look
-- at; the call ends with the one that uses up the budget.
-- Returns: 'ok' | lost(), number of runs looked at, of those that have expired, then see `tally`
if not owns(token) then
    return {lost()}
end
local first
local trimmed = meta('trimmed')
local late = redis.call('ZRANGE', K.running, '-inf', number(now - timeout), 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES')
local known = redis.call('HMGET', K.meta, 'first_staged', 'last_begun')
local first_staged, last_begun = tonumber(known[1]), tonumber(known[2])
if first_staged and late[2] and tonumber(late[2]) > last_begun then
    first_staged, last_begun = nil, nil -- none of those whose time has begun again is unanswered
end

-- The time of a run begins again. A rebuild still needs its record, which may be older.
local function restart(instance, staged, begun)
    redis.call('ZADD', K.running, begun, instance)
    first_staged = math.min(first_staged or staged, staged)
    last_begun = math.max(last_begun or begun, begun)
end

local expired = 0
local looked_at = each_run(#late / 2, function(n)
    return late[2 * n - 1]
end, function(n)
    local instance = late[2 * n - 1]
    local _, _, _, entry = read_run(known_runs[instance])
    local begun = entry > trimmed and now or late_since(entry) -- nobody has seen what is not published
    if begun > now - timeout then
        restart(instance, tonumber(late[2 * n]), begun)
    else
        local _, due = end_run(instance, TIMED_OUT, now, cap, most, '')
        expired = expired + 1
        first = due and math.min(first or due, due) or first
    end
end)
save_ended()
if last_begun then
    redis.call('HSET', K.meta, 'first_staged', number(first_staged), 'last_begun', number(last_begun))
end
if #late > 0 then
    emit_marker(now)
end
flush(first)
return {'ok', looked_at, expired, tally()}
