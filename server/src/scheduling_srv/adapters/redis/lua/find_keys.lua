--!include base unique
--!args keys...
--!row asked type key
-- The living jobs that have unique keys.
-- Returns: 'ok' | 'not ready', for each key the id or ''
if not is_ready() then
    return {'not ready'}
end
local result = {'ok'}
for i = keys_at, #args, ASKED_ROW do
    local type, key = asked_row(i)
    result[#result + 1] = holder_of_key(type, key) or ''
end
return result
