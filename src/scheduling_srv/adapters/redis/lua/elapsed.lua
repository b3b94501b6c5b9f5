--!include base job member limits outbox order remove definition keeping replacing writing
-- Which one-time jobs whose time has passed may come in: those that live here and were due then before.
-- ARGV: for each job: id, due ms, record
-- Returns: 'ok' | 'not ready', then for each job 1 if it may, else 0
if not is_ready() then
    return {'not ready'}
end
local result = {'ok'}
for i = 1, #ARGV, 3 do
    local wanted = is_still_wanted(ARGV[i], find(ARGV[i]), ARGV[i + 2], tonumber(ARGV[i + 1]))
    result[#result + 1] = wanted and 1 or 0
end
return result
