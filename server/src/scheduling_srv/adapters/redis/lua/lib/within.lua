--!include job run
-- The limits of a caller. `within` of scripts: '' for a caller without limits, else JSON of an object
-- with `types`, `creators` or both. Each is an object whose keys are the names that are allowed.
local function limits_in(within)
    return within ~= '' and cjson.decode(within) or nil
end

-- Whether the caller may change the job of a record.
local function is_within(limits, record)
    if not limits then
        return true
    end
    local _, _, creator, _, type = read_places(record)
    return (not limits.types or limits.types[type] ~= nil)
        and (not limits.creators or limits.creators[creator] ~= nil)
end

-- The same for a run. `record`: of its job, or of the one that has its id by now; nil or false if
-- there is none. Without the record of its job nobody knows who created it.
local function is_run_within(limits, seq, type, record)
    if not limits then
        return true
    elseif record and read_seq(record) == seq then
        return is_within(limits, record)
    end
    return not limits.creators and limits.types[type] ~= nil
end

-- The same for an unanswered run.
local function is_unanswered_within(limits, run, record)
    if not limits then
        return true
    end
    local seq, _, _, _, size, at = read_run(run)
    return is_run_within(limits, seq, string.sub(run, at, at + size - 1), record)
end
