--!include job
-- Jobs as staging reads them. What a run is made of, read like `read_job` but faster. Thousands are
-- made in one call: they share the table, which the next one fills anew.
local due_job = {}

-- nil: the record is of another job by now than the `wanted` one.
local function read_due(record, wanted)
    local seq, kind, _, type_size, data_size, trace_size = struct.unpack(HEADER, record)
    if seq ~= wanted then
        return nil
    end
    local parallel, interval, at = 0, 0, HEADER_SIZE
    if kind >= HAS_POLICY then
        parallel, interval = struct.unpack(LIMITS, record, at + LIMITS_AT)
        at = at + POLICY_SIZE
    end
    local job = due_job
    job.seq, job.kind, job.parallel, job.interval, job.type_size = seq, kind_in(kind), parallel, interval, type_size
    job.type = string.sub(record, at + (type_size > 128 and 3 or 2), at + type_size)
    job.ready = string.sub(record, at + 1, at + type_size + data_size)
    job.trace = trace_size > 0 and string.sub(record, -trace_size) or ''
    return job
end
