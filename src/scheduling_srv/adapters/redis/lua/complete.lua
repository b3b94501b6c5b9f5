--!include base job member limits outbox marker order remove input run answer
-- Applies answers, as many as the budget allows: jobDone and jobFailed.
-- ARGV: now, partitions or '', stored offsets, positions behind all answers, lineage, cap of the backoff in
--       ms, most waiting retries of a job, then for each answer: instance id, '1' if it failed, which of the
--       partitions it is of, next offset, what the worker said of a failure
-- Returns: 'ok' | 'not ready' | 'stale', number of answers that were looked at, of those that had a run, then
--          see `tally`
if not is_ready() then
    return {'not ready'}
end
if not is_next(ARGV[2], ARGV[3], ARGV[5]) then
    return {'stale'}
end
local now, looked_at, applied, first = tonumber(ARGV[1]), 0, 0, nil
local last = {} -- place of a partition -> offset behind its last answer that was looked at
for i = 8, #ARGV, 5 do
    if bytes_read >= BUDGET then
        break
    end
    local outcome = ARGV[i + 1] == '1' and FAILED or DONE
    local known, due = end_run(ARGV[i], outcome, now, tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[i + 4])
    looked_at, applied = looked_at + 1, applied + (known and 1 or 0)
    last[tonumber(ARGV[i + 2])] = ARGV[i + 3]
    first = due and math.min(first or due, due) or first
end
if 5 * looked_at >= #ARGV - 7 then
    advance(ARGV[2], ARGV[4], now)
else
    local names, positions, place = {}, {}, 0
    for name in each_of(ARGV[2]) do
        place = place + 1
        if last[place] then
            push(names, name)
            push(positions, last[place])
        end
    end
    advance(table.concat(names, '\0'), table.concat(positions, '\0'), now)
end
flush(first)
return {'ok', looked_at, applied, tally()}
