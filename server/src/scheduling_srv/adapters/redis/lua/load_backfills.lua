--!include backfills base job member run
--!args token backfills...
--!row kept id text
-- Rebuild: backfills of jobs that are there. All runs are loaded before: those that were added and are
-- neither waiting nor unanswered have ended.
-- Returns: how many are loaded | lost()
local AT_ONCE = 500
if not owns(token) then
    return lost()
end

local function count_open(seq)
    local size, at = 0, 0
    while true do
        local found = redis.call('ZRANGE', K.open, seq, seq, 'BYSCORE', 'LIMIT', at, AT_ONCE)
        for _, run in ipairs(#found > 0 and redis.call('HMGET', K.runs, unpack(found)) or {}) do
            local _, _, _, _, _, _, origin = read_run(run)
            size = size + (origin == BACKFILLED and 1 or 0)
        end
        if #found < AT_ONCE then
            return size
        end
        at = at + AT_ONCE
    end
end

local function count_waiting(seq)
    local size = 0
    for _, text in ipairs(redis.call('ZRANGE', K.retries, seq, seq, 'BYSCORE')) do
        local _, _, _, _, origin = read_place(text)
        size = size + (origin == BACKFILLED and 1 or 0)
    end
    return size
end

local loaded = 0
for i = backfills_at, #args, KEPT_ROW do
    local id, text = kept_row(i)
    local backfill, record = cjson.decode(text), redis.call('HGET', K.jobs, id)
    local seq = tonumber(backfill.seq)
    if record and read_seq(record) == seq then
        backfill.ended = math.max(0, backfill.added - count_open(seq) - count_waiting(seq))
        save_backfill(id, backfill, false)
        loaded = loaded + 1
    end
end
return loaded
