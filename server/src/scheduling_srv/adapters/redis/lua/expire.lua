--!include answer base deadlines job late marker outbox run
--!args token now:int timeout:int cap:int most:int limit:int
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
local size = #late / 2
local timed = size < limit and redis.call('ZRANGE', K.deadlines, '-inf', number(now), 'BYSCORE', 'LIMIT', 0, limit - size)
    or {}
local known = redis.call('HMGET', K.meta, 'first_staged', 'last_begun')
local first_staged, last_begun = tonumber(known[1]), tonumber(known[2])
local oldest = first_staged and oldest_start()
if oldest and oldest > last_begun then
    first_staged, last_begun = nil, nil -- none of those whose time has begun again is unanswered
end

-- The time of a run begins again. A rebuild still needs its record, which may be older.
local function restart(instance, staged, begun)
    redis.call('ZADD', K.running, begun, instance)
    first_staged = math.min(first_staged or staged, staged)
    last_begun = math.max(last_begun or begun, begun)
end

local expired = 0

local function instance_at(n)
    return n <= size and late[2 * n - 1] or timed[n - size]
end

-- When the run was published late, its time begins again. Returns whether it does.
local function goes_on(n, instance)
    local run = known_runs[instance]
    local seq, _, _, entry = read_run(run)
    local begun = entry > trimmed and now or late_since(entry) -- nobody has seen what is not published
    if n <= size then
        if begun > now - timeout then
            restart(instance, tonumber(late[2 * n]), begun)
            return true
        end
        return false
    end
    local record = known_jobs[run_id(run)]
    local least = begun + timeout_of(record and read_seq(record) == seq and read_job(record) or nil, timeout)
    if least > now then
        redis.call('ZADD', K.deadlines, number(least), instance)
        return true
    end
    return false
end

local looked_at = each_run(size + #timed, instance_at, function(n)
    local instance = instance_at(n)
    if not goes_on(n, instance) then
        local _, due = end_run(instance, TIMED_OUT, now, cap, most, '')
        expired = expired + 1
        first = due and math.min(first or due, due) or first
    end
end)
save_ended()
if last_begun then
    redis.call('HSET', K.meta, 'first_staged', number(first_staged), 'last_begun', number(last_begun))
end
if looked_at > 0 then
    emit_marker(now)
end
flush(first)
return {'ok', looked_at, expired, tally()}
