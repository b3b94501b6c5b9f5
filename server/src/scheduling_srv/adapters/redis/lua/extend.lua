--!include answer base extending run
--!args now:int instance occurrence extension timeout:int
-- Moves the deadline of an unanswered run, never to an earlier instant.
-- `occurrence`: its occurrence id, or ''. `extension`: ms from now, or '' for the timeout of its job.
-- `timeout`: of jobs without one of their own, ms.
-- Returns: 'ok' | 'not ready', deadline ms; '' if there is no such run
if not is_ready() then
    return {'not ready'}
end
local deadline
each_run(1, function()
    return instance
end, function()
    local run = known_runs[instance]
    if run and (occurrence == '' or occurrence_of(run) == occurrence) then
        deadline = extend(instance, now, tonumber(extension), timeout)
    end
end)
return {'ok', deadline and number(deadline) or ''}
