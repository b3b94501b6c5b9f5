--!include base
--!args token first:int most_bytes:int jobs...
--!row wanted id seq
-- Runs of some jobs that are in the outbox.
-- `first`: number of an entry. `most_bytes`: it looks no further after so many.
-- Returns: 'ok' | lost(), number of the entry to go on with or '', then for each run: number of its
--          entry, id, its first byte, creation number, instance, nominal ms, attempt
if not owns(token) then
    return {lost()}
end
local AT_ONCE = 20 -- entries that are read in one call
local next, bytes, wanted = first, most_bytes, {}
for i = jobs_at, #args, WANTED_ROW do
    local id, seq = wanted_row(i)
    wanted[id .. '\0' .. seq] = true
end
local result, trimmed = {'ok', ''}, meta('trimmed')
while bytes > 0 do
    local at = next - trimmed - 1
    local entries = redis.call('LRANGE', K.outbox, at, at + AT_ONCE - 1)
    if #entries == 0 then
        return result
    end
    for _, entry in ipairs(entries) do
        local letter = string.sub(entry, 1, 1)
        if letter == QUEUE or letter == QUEUE_MORE then
            local _, _, instance, nominal, attempt, seq, size = struct.unpack(QUEUED, entry)
            local id = string.sub(entry, QUEUED_SIZE + 1, QUEUED_SIZE + size)
            if wanted[id .. '\0' .. number(seq)] then
                push(result, number(next), id)
                result[#result + 1] = letter
                push(result, number(seq), number(instance))
                push(result, number(nominal), number(attempt))
            end
        end
        next, bytes = next + 1, bytes - #entry
    end
end
result[2] = number(next)
return result
