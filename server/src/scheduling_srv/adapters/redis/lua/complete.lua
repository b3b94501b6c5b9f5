--!include answer base extending input outbox run
--!args now:int partition expected position known timeout:int cap:int most:int answers...
--!row answer instance kind partition:int next problem retry occurrence
-- Applies answers, as many as the budget allows: jobDone, jobFailed and jobHeartbeat.
-- `partition` to `known`: see `input.lua`.
-- `timeout`: of jobs without one of their own, ms. `cap`: of the backoff, ms. `most`: waiting retries
-- of a job. `position`: after all answers.
-- Of an answer: `kind` is 'd', 'f' or 'h', `partition` counts in the list of partitions, `problem` is
-- the worker's text, `retry` is 'final', ms or '', `occurrence` is an occurrence id or ''.
-- Returns: 'ok' | 'not ready' | 'stale', number of answers that were looked at, of those that had a
--          run, then see `tally`
if not is_ready() then
    return {'not ready'}
end
if not is_next(partition, expected, known) then
    return {'stale'}
end
local FAILURE, HEARTBEAT, NO_RETRY = 'f', 'h', 'final'
local applied, first = 0, nil

-- Returns whether there was such a run, and when something may be due because of it.
local function apply(instance, kind, problem, retry, occurrence)
    local run = known_runs[instance]
    if not run or (occurrence ~= '' and occurrence_of(run) ~= occurrence) then
        return false
    elseif kind == HEARTBEAT then
        return extend(instance, now, nil, timeout) ~= nil
    elseif kind == FAILURE then
        return end_run(instance, FAILED, now, cap, most, problem, tonumber(retry), retry == NO_RETRY)
    end
    return end_run(instance, DONE, now, cap, most, problem)
end

local last = {} -- place of a partition -> offset behind its last answer that was looked at
local looked_at = each_run((#args - answers_at + 1) / ANSWER_ROW, function(n)
    return args[answers_at + ANSWER_ROW * (n - 1)]
end, function(n)
    local i = answers_at + ANSWER_ROW * (n - 1)
    local instance, kind, of, next_offset, problem, retry, occurrence = answer_row(i)
    local was_known, due = apply(instance, kind, problem, retry, occurrence)
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
