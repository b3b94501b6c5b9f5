--!include job
-- Jobs as staging reads them. What a run is made of, read like `read_job` but faster. Thousands are
-- made in one call: they share the table, which the next one fills anew.
local due_job = {}

-- Notes rules, labels and attempts of a job with MORE, which begins behind this place. Returns its size.
local function read_more_of_due(job, shape, record, at)
    local size, has_rules, labels_size = read_more(record, at)
    job.rules = has_rules and read_rules(record, at) or nil
    local labels_at = at + MORE_SIZE + (has_rules and RULES_SIZE or 0)
    job.labels = (has_rules or labels_size > 0) and string.sub(record, labels_at + 1, labels_at + labels_size) or nil
    job.attempts = shape.has_policy and struct.unpack(ATTEMPTS, record, shape.policy_at + 1) or 1
    job.number = 0
    return size
end

-- Notes what the headers of a run of another origin say, of a job without MORE as well.
local function note_more(job, record)
    if not job.labels then
        local shape = shape_of(record)
        job.labels, job.number = '', 0
        job.attempts = shape.has_policy and struct.unpack(ATTEMPTS, record, shape.policy_at + 1) or 1
    end
end

-- nil: the record is of another job by now than the `wanted` one.
local function read_due(record, wanted)
    local byte = string.byte(record, SEQ_SIZE + 1)
    local shape = shapes[byte] or make_shape(byte)
    local seq, _, _, type_size, data_size, trace_size = struct.unpack(shape.due_header, record)
    if seq ~= wanted then
        return nil
    end
    local job, at = due_job, shape.at
    if shape.has_policy then
        job.parallel, job.interval = struct.unpack(LIMITS, record, shape.policy_at + LIMITS_AT)
    else
        job.parallel, job.interval = 0, 0
    end
    if shape.has_more then
        at = at + read_more_of_due(job, shape, record, at)
    else
        job.rules, job.labels = nil, nil
    end
    local data_at = at + type_size
    job.seq, job.kind, job.type_size, job.data_size = seq, shape.kind, type_size, data_size
    job.type = string.sub(record, at + (type_size > 128 and 3 or 2), data_at)
    job.ready = string.sub(record, at + 1, data_at + data_size)
    job.trace = trace_size > 0 and string.sub(record, -trace_size) or ''
    return job
end
