--!include base counting due ranks
--!args now:int
-- How the shard stands. Changes nothing, and takes no longer the more there is.
-- Returns: 'ok' | 'not ready', jobs that Read shows, places that wait for their time, unanswered runs,
--          runs that a limit or a pause holds, runs that wait for their retry, paused jobs, paused
--          types, entries of the outbox, token of the owner or '', ms of the earliest place or '',
--          jobs that are due in each of the next 60 minutes, and for each of the last minutes: its
--          number since 1970, runs that were emitted, done, failed and skipped, sum of the lateness
--          of the emitted ones and the greatest, ms
if not is_ready() then
    return {'not ready'}
end
local MINUTE_MS, AHEAD = 60000, 60
local waiting, resting = redis.call('ZCARD', K.waiting), meta('resting')
local retries = redis.call('ZCARD', K.retries)

local function due_by_minute()
    local due, lowest, highest = {}, ranks()
    for n = 1, AHEAD do
        due[n] = 0
        for rank = lowest, highest do
            local from = n == 1 and rank * RANK or rank * RANK + now + (n - 1) * MINUTE_MS
            due[n] = due[n] + redis.call('ZCOUNT', K.due, number(from), '(' .. number(rank * RANK + now + n * MINUTE_MS))
        end
    end
    return due
end

local function last_minutes()
    local minutes = {}
    local found = redis.call('HGETALL', K.minutes)
    for i = 2, #found, 2 do
        local minute, emitted, done, failed, skipped, lateness, latest = struct.unpack(MINUTE, found[i])
        minutes[#minutes + 1] = {minute, emitted, done, failed, skipped, lateness, latest}
    end
    return minutes
end

return {
    'ok',
    count_listed(K.created),
    redis.call('ZCARD', K.due) + redis.call('ZCARD', K.plan),
    redis.call('HLEN', K.runs),
    waiting + resting,
    math.max(0, retries - resting),
    redis.call('HLEN', K.paused),
    redis.call('HLEN', K.paused_types),
    redis.call('LLEN', K.outbox),
    redis.call('GET', K.lease) or '',
    next_due(),
    due_by_minute(),
    last_minutes(),
}
