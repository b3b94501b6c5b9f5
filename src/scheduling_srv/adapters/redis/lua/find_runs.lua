--!include base
-- Runs of some jobs that are in the outbox.
-- ARGV: token, number of the first entry to look at, bytes after which it looks no further, then for each
--       job: id, creation number
-- Returns: 'ok' | lost(), number of the entry to go on with or '', then for each run: number of its entry, id,
--          creation number, instance, nominal ms, attempt
if not owns(ARGV[1]) then
    return {lost()}
end
local AT_ONCE = 20 -- entries that are read in one call
local next, bytes, wanted = tonumber(ARGV[2]), tonumber(ARGV[3]), {}
for i = 4, #ARGV, 2 do
    wanted[ARGV[i] .. '\0' .. ARGV[i + 1]] = true
end
local result, trimmed = {'ok', ''}, meta('trimmed')
while bytes > 0 do
    local at = next - trimmed - 1
    local entries = redis.call('LRANGE', K.outbox, at, at + AT_ONCE - 1)
    if #entries == 0 then
        return result
    end
    for _, entry in ipairs(entries) do
        if string.byte(entry) == 81 then -- Q
            local _, instance, nominal, attempt, seq, size = struct.unpack('<BI4I8I4I8I2', entry, 2)
            local id = string.sub(entry, 37, 36 + size)
            if wanted[id .. '\0' .. number(seq)] then
                push(result, number(next), id)
                push(result, number(seq), number(instance))
                push(result, number(nominal), number(attempt))
            end
        end
        next, bytes = next + 1, bytes - #entry
    end
end
result[2] = number(next)
return result
