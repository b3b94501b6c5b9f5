--!include base
-- Records of jobs (in Python: formats/job_record.py) and their places in the indexes.

-- The text behind its length, a protobuf varint. 0: there is none.
local function read_creator(record, at)
    local short = at > 0 and string.byte(record, at + 1) or 0
    if short < 128 then
        return string.sub(record, at + 2, at + 1 + short)
    end
    local size, unit = 0, 1
    repeat
        at = at + 1
        local byte = string.byte(record, at) or 0
        size, unit = size + byte % 128 * unit, unit * 128
    until byte < 128
    return string.sub(record, at + 1, at + size)
end

-- What the kind byte of a header says, by the byte: the kind of the trigger, the form and the size of the
-- header, whether there are a creation time, a policy and MORE, and where what follows the policy begins.
local shapes = {}

local function make_shape(byte)
    local form = byte % HAS_POLICY
    local version = math.floor(form / VERSION_UNIT)
    if form >= VERSION_UNKNOWN then
        refuse_newer('job', version)
    end
    local has_birth, is_small, has_policy = version >= VERSION_OF_MORE, version >= VERSION_OF_SMALL, byte >= HAS_POLICY
    local size = is_small and SMALL_HEADER_SIZE or HEADER_SIZE
    local policy_at = size + (has_birth and BIRTH_SIZE or 0)
    local shape = {kind = form % HAS_MORE, version = version, has_birth = has_birth, has_policy = has_policy,
        header = is_small and SMALL_HEADER or HEADER, due_header = is_small and SMALL_DUE_HEADER or DUE_HEADER,
        header_size = size, policy_at = policy_at, at = policy_at + (has_policy and POLICY_SIZE or 0),
        has_more = form % VERSION_UNIT >= HAS_MORE}
    shapes[byte] = shape
    return shape
end

local function shape_of(record)
    local byte = string.byte(record, SEQ_SIZE + 1)
    return shapes[byte] or make_shape(byte)
end

local NO_MORE = struct.pack(MORE, MORE_SIZE, 1, 0, 0, 0, 0) -- of a record without

-- The sizes in MORE, which begins behind this place: of all of it, of labels and key; and whether
-- there are RULES.
local function read_more(record, at)
    local size, _, _, flags, labels_size, key_size = struct.unpack(MORE, record, at + 1)
    return size, flags % (2 * HAS_RULES) >= HAS_RULES, labels_size, key_size
end

-- RULES, in MORE which begins behind this place.
local function read_rules(record, at)
    local overlap, missed, window, jitter, start_deadline, timeout, max_runs, last, max_delay, share =
        struct.unpack(RULES, record, at + MORE_SIZE + 1)
    return {overlap = overlap, missed = missed, window = window, jitter = jitter, start_deadline = start_deadline,
        timeout = timeout, max_runs = max_runs, last = last, max_delay = max_delay, share = share}
end

local function read_job(record)
    local shape = shape_of(record)
    local seq, _, rank, type_size, data_size, trace_size, creator_at = struct.unpack(shape.header, record)
    local attempts, backoff, delay, parallel, interval, at = 0, 0, 0, 0, 0, shape.at
    if shape.has_policy then
        attempts, backoff, delay, parallel, interval = struct.unpack(POLICY, record, shape.policy_at + 1)
    end
    local more_size, rules = 0, nil
    if shape.has_more then
        local size, has_rules = read_more(record, at)
        rules, more_size, at = has_rules and read_rules(record, at) or nil, size, at + size
    end
    local varint = type_size > 128 and 2 or 1
    return {
        seq = seq, kind = shape.kind, rank = rank, attempts = attempts, backoff = backoff, delay = delay,
        parallel = parallel, interval = interval, type_size = type_size, data_size = data_size,
        type = string.sub(record, at + varint + 1, at + type_size),
        trace_size = trace_size,
        creator = read_creator(record, creator_at),
        record = record, at = at, -- where the type begins
        more_size = more_size, rules = rules, -- nil: none that staging or answers obey
    }
end

-- The labels in MORE, which begins behind this place, as 'key=value', joined by line feeds.
local function labels_in(record, at)
    local _, has_rules, size = read_more(record, at)
    local from = at + MORE_SIZE + (has_rules and RULES_SIZE or 0)
    return string.sub(record, from + 1, from + size)
end

-- Kind, rank, creator, creation number, type and labels: what the indexes need. Whether there is MORE.
local function read_places(record)
    local byte = string.byte(record, SEQ_SIZE + 1)
    local shape = shapes[byte] or make_shape(byte)
    local seq, _, rank, type_size, _, _, creator_at = struct.unpack(shape.header, record)
    local at, labels = shape.at, ''
    if shape.has_more then
        at, labels = at + read_more(record, at), labels_in(record, at)
    end
    local type = string.sub(record, at + (type_size > 128 and 3 or 2), at + type_size)
    return shape.kind, rank, read_creator(record, creator_at), seq, type, labels, shape.has_more
end

-- Of a job that `read_job` has read. '': it has none.
local function labels_of(job)
    return job.more_size > 0 and labels_in(job.record, job.at - job.more_size) or ''
end

local function read_seq(record)
    return (struct.unpack(SEQ, record))
end

-- Redis cannot tell the size of a record before it is read. So `meta` holds the size of the largest
-- one since the shard was made: it says how many records are read at once. Smaller ones are not
-- noted.
local LARGE = BUDGET / BATCH
local UNKNOWN = 1000000 -- for a shard that an older version made

local function note_largest(size)
    if size > LARGE then
        local known = redis.call('HGET', K.meta, 'largest')
        if known and tonumber(known) < size then
            redis.call('HSET', K.meta, 'largest', number(size))
        end
    end
end

local function largest_record()
    return math.max(tonumber(redis.call('HGET', K.meta, 'largest') or UNKNOWN), LARGE)
end

-- How many records of at most `largest` bytes may be read with `bytes` of a budget: at least one.
local function records_within(bytes, largest)
    return math.max(1, math.min(BATCH, math.floor(bytes / largest)))
end
