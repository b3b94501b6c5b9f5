--!include answer base extending run within
--!args now:int instance occurrence extension timeout:int within
-- Moves the deadline of an unanswered run, never to an earlier instant.
-- `occurrence`: its occurrence id, or ''. `extension`: ms from now, or '' for the timeout of its job.
-- `timeout`: of jobs without one of their own, ms. `within`: see `within.lua`.
-- Returns: 'ok' | 'not ready' | 'old' (the store has an earlier format), deadline ms; '' if there is no such run
if not is_ready() then
    return {'not ready'}
end
if not has_format(2) then
    return {'old'}
end
local deadline
each_run(1, function()
    return instance
end, function()
    local run = known_runs[instance]
    local is_meant = run and (occurrence == '' or occurrence_of(run) == occurrence)
    if is_meant and is_unanswered_within(limits_in(within), instance, run, known_jobs[run_id(run)]) then
        deadline = extend(instance, now, tonumber(extension), timeout)
    end
end)
return {'ok', deadline and number(deadline) or ''}
