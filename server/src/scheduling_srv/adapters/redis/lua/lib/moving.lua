-- Jobs that a decided change, or a long list, is about to change: others wait for it.
local REPLACED_BYTES = 4000000 -- of records that one call takes out: it reads all of them

local function is_any_moving()
    return redis.call('EXISTS', K.moving) == 1
end

-- The place of the first of `size` ids in the arguments, `step` apart, that is on its way.
local function find_moving(at, size, step)
    for place = 1, is_any_moving() and size or 0 do
        if redis.call('HEXISTS', K.moving, args[at + step * (place - 1)]) == 1 then
            return place
        end
    end
end

-- Bytes of the records of `size` ids in the arguments, `step` apart, as they are now.
local function count_bytes(at, size, step)
    local bytes = 0
    for i = at, at + step * (size - 1), step do
        bytes = bytes + redis.call('HSTRLEN', K.jobs, args[i])
    end
    return bytes
end
