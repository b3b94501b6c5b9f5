--!include base
-- What is noted of an unanswered run: creation number of its job, nominal time, attempt, number of
-- its entry, size of the type, and the place behind, where type and id follow; its origin.
local function read_run(run)
    local seq, version, origin, nominal, attempt, entry, size, at = struct.unpack(RUN, run)
    if version > RUN_NEWEST then
        refuse_newer('run', version)
    end
    return seq, nominal, attempt, entry, size, at, origin
end

-- The id of its job.
local function run_id(run)
    local _, _, _, _, size, at = read_run(run)
    return string.sub(run, at + size)
end
