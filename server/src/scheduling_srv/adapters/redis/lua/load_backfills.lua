--!include backfill_counts backfills base job
--!args token backfills...
--!row kept id text
-- Rebuild: backfills of jobs that are there. All runs are loaded before: those that were added and are
-- neither waiting nor unanswered have ended.
-- Returns: how many are loaded | lost()
if not owns(token) then
    return lost()
end

local loaded = 0
for i = backfills_at, #args, KEPT_ROW do
    local id, text = kept_row(i)
    local backfill, record = cjson.decode(text), redis.call('HGET', K.jobs, id)
    if record and read_seq(record) == tonumber(backfill.seq) then
        count_ended_of(backfill)
        save_backfill(id, backfill, false)
        loaded = loaded + 1
    end
end
return loaded
