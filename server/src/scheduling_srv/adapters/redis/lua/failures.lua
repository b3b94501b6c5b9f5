--!include base
--!args type since:int bytes:int
-- The errors that runs have failed with.
-- `type`: '' for all types, those that failed last first. `since`: of none that failed last before that
-- ms. `bytes`: it looks at no further type after so many.
-- Returns: 'ok' | 'not ready', then for each error: type, how many runs, of the last one: ms of its end,
--          creation number and id of its job, nominal ms and origin; the error
if not is_ready() then
    return {'not ready'}
end
local result = {'ok'}

local function add_failures(of)
    local found = redis.call('HGETALL', K.errors .. of)
    for i = 2, #found, 2 do
        local text = found[i]
        local count, ended, seq, nominal, origin, size, at = struct.unpack(FAILED_WITH, text)
        bytes = bytes - #text
        if ended >= since then
            push(result, of, number(count))
            push(result, number(ended), number(seq))
            push(result, string.sub(text, at + size), number(nominal))
            push(result, number(origin), string.sub(text, at, at + size - 1))
        end
    end
end

if type ~= '' then
    add_failures(type)
else
    for _, each in ipairs(redis.call('ZRANGE', K.failed_types, 0, -1, 'REV')) do
        if bytes <= 0 then
            break
        end
        add_failures(each)
    end
end
return result
