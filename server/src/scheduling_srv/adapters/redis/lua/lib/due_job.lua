--!include job
-- Jobs as staging reads them. What a run is made of, read like `read_job` but faster. Thousands are
-- made in one call: they share the table, which the next one fills anew.
local due_job = {}

-- nil: the record is of another job by now than the `wanted` one.
local function read_due(record, wanted)
    local seq, kind, _, type_size, data_size, trace_size = struct.unpack(DUE_HEADER, record)
    if seq ~= wanted then
        return nil
    end
    local job, at = due_job, HEADER_SIZE
    if kind >= HAS_POLICY then
        job.parallel, job.interval = struct.unpack(LIMITS, record, at + LIMITS_AT)
        at = at + POLICY_SIZE
    else
        job.parallel, job.interval = 0, 0
    end
    local data_at = at + type_size
    job.seq, job.kind, job.type_size, job.data_size = seq, kind_in(kind), type_size, data_size
    job.type = string.sub(record, at + (type_size > 128 and 3 or 2), data_at)
    job.ready = string.sub(record, at + 1, data_at + data_size)
    job.trace = trace_size > 0 and string.sub(record, -trace_size) or ''
    return job
end
