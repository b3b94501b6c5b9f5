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

-- Whether a run that began at `since` (ms) is none of an earlier job with the id of this record. An
-- Update gives a job another creation number, and keeps its creation time. As `own_runs` of
-- app/narrowing.py says for reading.
local function is_since_creation(record, since)
    local shape = shape_of(record)
    return shape.has_birth and since >= struct.unpack(BIRTH, record, shape.header_size + 1)
end

-- The same for a run. `record`: of its job, or of the one that has its id by now; nil or false if
-- there is none. Without the record of its job nobody knows who created it. `since`: when it was due;
-- of a backfill, when it started.
local function is_run_within(limits, seq, type, record, since)
    if not limits then
        return true
    elseif record and read_seq(record) == seq then
        return is_within(limits, record)
    elseif limits.types and not limits.types[type] then
        return false
    end
    return not limits.creators or (record and is_since_creation(record, since) and is_within(limits, record))
end

-- The same for an unanswered run.
local function is_unanswered_within(limits, instance, run, record)
    if not limits then
        return true
    end
    local seq, nominal, _, _, size, at, origin = read_run(run)
    local started = origin == BACKFILLED
        and (redis.call('ZSCORE', K.running, instance) or redis.call('ZSCORE', K.started, instance) or 0)
    return is_run_within(limits, seq, string.sub(run, at, at + size - 1), record, tonumber(started or nominal))
end
