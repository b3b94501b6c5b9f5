--!include base replacing writing
--!args jobs...
-- Which one-time jobs whose time has passed may come in: those that live here and were due then
-- before.
-- Returns: 'ok' | 'not ready', then for each job 1 if it may, else 0
if not is_ready() then
    return {'not ready'}
end
local result = {'ok'}
for i = jobs_at, #args, JOB_ROW do
    local id, due, record = job_row(i)
    local wanted = is_still_wanted(id, find(id), record, due)
    result[#result + 1] = wanted and 1 or 0
end
return result
