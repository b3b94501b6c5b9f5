--!include answer base input outbox
--!args now:int partition expected position known cap:int most:int answers...
--!row answer instance failed partition:int next problem
-- Applies answers, as many as the budget allows: jobDone and jobFailed.
-- `partition` to `known`: see `input.lua`.
-- `cap`: of the backoff, ms. `most`: waiting retries of a job. `position`: after all answers.
-- Of an answer: `failed` is '1' or '0', `partition` counts in the list of partitions, `problem` is
-- the worker's text.
-- Returns: 'ok' | 'not ready' | 'stale', number of answers that were looked at, of those that had a
--          run, then see `tally`
if not is_ready() then
    return {'not ready'}
end
if not is_next(partition, expected, known) then
    return {'stale'}
end
local applied, first = 0, nil
local last = {} -- place of a partition -> offset behind its last answer that was looked at
local looked_at = each_run((#args - answers_at + 1) / ANSWER_ROW, function(n)
    return args[answers_at + ANSWER_ROW * (n - 1)]
end, function(n)
    local i = answers_at + ANSWER_ROW * (n - 1)
    local instance, has_failed, of, next_offset, problem = answer_row(i)
    local outcome = has_failed == '1' and FAILED or DONE
    local was_known, due = end_run(instance, outcome, now, cap, most, problem)
    applied = applied + (was_known and 1 or 0)
    last[of] = next_offset
    first = due and math.min(first or due, due) or first
end)
save_ended()
if answers_at + ANSWER_ROW * looked_at > #args then
    advance(partition, position, now)
else
    local names, positions, place = {}, {}, 0
    for name in each_of(partition) do
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
