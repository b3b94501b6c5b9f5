--!include backfills base by_hand job outbox
--!args token now:int bounds id seq:int expected:int following nominals...
-- Adds the next runs of a backfill, and notes in the same call how far it is.
-- `bounds`: see `is_full`. `expected`: where the caller believes it to be, nominal ms. `following`:
-- where it goes on; '' if these are its last runs.
-- Returns: 'ok' | lost() | 'full' | 'stale' (it is elsewhere, or gone)
if not owns(token) then
    return {lost()}
end
if is_full(bounds) then
    return {'full'}
end
local record = redis.call('HGET', K.jobs, id)
local backfill = record and read_seq(record) == seq and backfill_of(id, seq)
if not backfill or backfill.next ~= expected then
    return {'stale'}
end
grouped = true -- a rebuild must not know one without the other
local job = read_job(record)
for i = nominals_at, #args do
    add_run(id, job, tonumber(args[i]), BACKFILLED, now)
    backfill.added = backfill.added + 1
end
if following == '' then
    end_backfill(id)
else
    backfill.next = tonumber(following)
    save_backfill(id, backfill, true)
end
flush(now)
return {'ok'}
