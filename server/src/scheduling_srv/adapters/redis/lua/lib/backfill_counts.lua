--!include member run
-- How far the runs of a backfill are, counted anew.
local RUNS_AT_ONCE = 500

-- Unanswered runs.
local function count_backfilled(seq)
    local size, at = 0, 0
    while true do
        local found = redis.call('ZRANGE', K.open, seq, seq, 'BYSCORE', 'LIMIT', at, RUNS_AT_ONCE)
        for _, run in ipairs(#found > 0 and redis.call('HMGET', K.runs, unpack(found)) or {}) do
            local _, _, _, _, _, _, origin = read_run(run)
            size = size + (origin == BACKFILLED and 1 or 0)
        end
        if #found < RUNS_AT_ONCE then
            return size
        end
        at = at + RUNS_AT_ONCE
    end
end

-- Runs that wait for their time, or for a retry.
local function count_waiting_of(seq)
    local size = 0
    for _, text in ipairs(redis.call('ZRANGE', K.retries, seq, seq, 'BYSCORE')) do
        local _, _, _, _, origin = read_place(text)
        size = size + (origin == BACKFILLED and 1 or 0)
    end
    return size
end

-- Runs that were added, are not unanswered and do not wait have ended.
local function count_ended_of(backfill)
    local seq = tonumber(backfill.seq)
    backfill.ended = math.max(0, backfill.added - count_backfilled(seq) - count_waiting_of(seq))
end
