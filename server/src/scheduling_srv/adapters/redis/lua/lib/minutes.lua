--!include base
-- Counts by minute (decision 31), gathered and saved once a call: `minutes` has the last 128.
local MINUTE_MS, MINUTES = 60000, 128
local emitted_runs, done_runs, failed_runs, skipped_runs = 0, 0, 0, 0
local lateness, latest = 0, 0 -- of the emitted runs: the sum and the greatest, ms
local instant -- of the call; nil: nothing was counted

-- A run that was due then is emitted.
local function count_emitted(now, due)
    instant, emitted_runs = now, emitted_runs + 1
    local late = now - due
    if late > 0 then
        lateness = lateness + late
        if late > latest then
            latest = late
        end
    end
end

-- A run has ended: it was done, or has failed for good.
local function count_ended(now, is_done)
    instant = now
    if is_done then
        done_runs = done_runs + 1
    else
        failed_runs = failed_runs + 1
    end
end

local function count_skipped(now, size)
    instant, skipped_runs = now, skipped_runs + size
end

local function save_minute()
    if not instant or not has_format(2) then
        return
    end
    local minute = math.floor(instant / MINUTE_MS)
    local field = number(minute % MINUTES)
    local found = redis.call('HGET', K.minutes, field)
    local of, emitted, done, failed, skipped, sum, most = 0, 0, 0, 0, 0, 0, 0
    if found then
        of, emitted, done, failed, skipped, sum, most = struct.unpack(MINUTE, found)
    end
    if of ~= minute then
        emitted, done, failed, skipped, sum, most = 0, 0, 0, 0, 0, 0
    end
    redis.call('HSET', K.minutes, field, struct.pack(MINUTE, minute, emitted + emitted_runs, done + done_runs,
        failed + failed_runs, skipped + skipped_runs, sum + lateness, math.max(most, latest)))
    instant, emitted_runs, done_runs, failed_runs, skipped_runs, lateness, latest = nil, 0, 0, 0, 0, 0, 0
end
at_the_end[#at_the_end + 1] = save_minute
