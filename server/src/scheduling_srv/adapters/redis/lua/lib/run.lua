--!include base origins
-- What is noted of an unanswered run: creation number of its job, nominal time, attempt, number of
-- its entry, size of the type, and the place behind, where type and id follow; its origin.
local function read_run(run)
    local seq, version, origin, nominal, attempt, entry, size, at = struct.unpack(RUN, run)
    if version > RUN_NEWEST then
        refuse_newer('run', version)
    end
    return seq, nominal, attempt, entry, size, at, origin
end

-- Its `occurrence-id`.
local function occurrence_of(run)
    local seq, nominal, attempt, _, size, at, origin = read_run(run)
    return string.sub(run, at + size) .. '/' .. number(seq) .. '/' .. number(nominal) .. mark_of(origin) .. '/' .. number(attempt)
end

local function pack_run(seq, nominal, attempt, entry, type, id, origin)
    local version = origin == SCHEDULE and RUN_OF_SCHEDULE or RUN_NEWEST
    return struct.pack(RUN, seq, version, origin, nominal, attempt, entry, #type) .. type .. id
end

-- The id of its job.
local function run_id(run)
    local _, _, _, _, size, at = read_run(run)
    return string.sub(run, at + size)
end
