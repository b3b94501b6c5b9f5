--!include base job member limits outbox marker order remove input run answer
-- Applies answers, as many as the budget allows: jobDone and jobFailed.
-- ARGV: now, partition or '', stored offset, next offset if there are no answers, lineage, cap of the
--       backoff in ms, most waiting retries of a job, then for each answer: instance id, '1' if it failed,
--       next offset
-- Returns: 'ok' | 'not ready' | 'stale', number of answers that were looked at, of those that had a run, of
--          failed runs that are not retried because too many wait, job of one of them
if not is_ready() then
    return {'not ready'}
end
if not is_next(ARGV[2], ARGV[3], ARGV[5]) then
    return {'stale'}
end
local now, looked_at, applied, next, first = tonumber(ARGV[1]), 0, 0, ARGV[4], nil
for i = 8, #ARGV, 3 do
    if bytes_read >= BUDGET then
        break
    end
    local known, due = end_run(ARGV[i], ARGV[i + 1] == '1', now, tonumber(ARGV[6]), tonumber(ARGV[7]))
    looked_at, applied, next = looked_at + 1, applied + (known and 1 or 0), ARGV[i + 2]
    first = due and math.min(first or due, due) or first
end
advance(ARGV[2], next, now)
flush(first)
return {'ok', looked_at, applied, given_up, given_up_id}
