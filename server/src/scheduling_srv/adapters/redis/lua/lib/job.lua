--!include base
-- Records of jobs (in Python: formats/job_record.py) and their places in the indexes.

-- The text behind its length, a protobuf varint. 0: there is none.
local function read_creator(record, at)
    local size, unit = 0, 1
    repeat
        at = at + 1
        local byte = at > 1 and string.byte(record, at) or 0
        size, unit = size + byte % 128 * unit, unit * 128
    until byte < 128
    return string.sub(record, at + 1, at + size)
end

-- The kind in a header, without the version and without `HAS_POLICY`.
local function kind_in(byte)
    local kind = byte % HAS_POLICY
    if kind >= VERSION_UNKNOWN then
        refuse_newer('job', math.floor(kind / VERSION_UNIT))
    end
    return kind % VERSION_UNIT
end

local function read_job(record)
    local seq, kind, rank, type_size, data_size, trace_size, creator_at = struct.unpack(HEADER, record)
    local attempts, backoff, delay, parallel, interval, at = 0, 0, 0, 0, 0, HEADER_SIZE
    if kind >= HAS_POLICY then
        attempts, backoff, delay, parallel, interval = struct.unpack(POLICY, record, at + 1)
        at = at + POLICY_SIZE
    end
    local varint = type_size > 128 and 2 or 1
    return {
        seq = seq, kind = kind_in(kind), rank = rank, attempts = attempts, backoff = backoff, delay = delay,
        parallel = parallel, interval = interval, type_size = type_size, data_size = data_size,
        type = string.sub(record, at + varint + 1, at + type_size),
        trace_size = trace_size,
        creator = read_creator(record, creator_at),
        record = record, at = at, -- where the type begins
    }
end

-- Kind, rank, creator, creation number and type: what the indexes need.
local function read_places(record)
    local seq, kind, rank, type_size, _, _, creator_at = struct.unpack(HEADER, record)
    local at = kind >= HAS_POLICY and HEADER_SIZE + POLICY_SIZE or HEADER_SIZE
    local type = string.sub(record, at + (type_size > 128 and 3 or 2), at + type_size)
    return kind_in(kind), rank, read_creator(record, creator_at), seq, type
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
