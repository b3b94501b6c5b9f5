--!include base job member limits outbox marker order remove input run answer
-- Applies answers: jobDone and jobFailed.
-- ARGV: now, partition or '', stored offset, next offset, lineage, cap of the backoff in ms,
--       then for each answer: instance id, '1' if it failed
-- Returns: 'ok' | 'not ready' | 'stale', number of answers that had a run
if not is_ready() then
    return {'not ready'}
end
if not is_next(ARGV[2], ARGV[3], ARGV[5]) then
    return {'stale'}
end
local now, applied, first = tonumber(ARGV[1]), 0, nil
for i = 7, #ARGV, 2 do
    local known, due = end_run(ARGV[i], ARGV[i + 1] == '1', now, tonumber(ARGV[6]))
    applied = applied + (known and 1 or 0)
    first = due and math.min(first or due, due) or first
end
advance(ARGV[2], ARGV[4], now)
flush(first)
return {'ok', applied}
