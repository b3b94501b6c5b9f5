-- Records of jobs (the Python twin is domain/record.py) and their places in the indexes.
local HEADER, HEADER_SIZE = '<I6BBI2I4I2I4', 20
local POLICY, POLICY_SIZE = '<I4BdI4I8', 25 -- follows if the kind says so
local HAS_POLICY = 128 -- added to the kind
local NOW, ONCE, INTERVAL, CRON = 0, 1, 2, 3 -- kinds of triggers

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

local function read_job(record)
    local seq, kind, rank, type_size, data_size, trace_size, creator_at = struct.unpack(HEADER, record)
    local attempts, backoff, delay, parallel, interval, at = 0, 0, 0, 0, 0, HEADER_SIZE
    if kind >= HAS_POLICY then
        attempts, backoff, delay, parallel, interval = struct.unpack(POLICY, record, at + 1)
        kind, at = kind - HAS_POLICY, at + POLICY_SIZE
    end
    local varint = type_size > 128 and 2 or 1
    return {
        seq = seq, kind = kind, rank = rank, attempts = attempts, backoff = backoff, delay = delay,
        parallel = parallel, interval = interval, type_size = type_size, data_size = data_size,
        type = string.sub(record, at + varint + 1, at + type_size),
        ready = string.sub(record, at + 1, at + type_size + data_size),
        trace = trace_size > 0 and string.sub(record, -trace_size) or '',
        trace_size = trace_size,
        creator = read_creator(record, creator_at),
        record = record, at = at, -- where the type begins
    }
end

-- Kind, rank, creator and creation number: what the indexes need.
local function read_places(record)
    local seq, kind, rank, _, _, _, creator_at = struct.unpack(HEADER, record)
    return kind % HAS_POLICY, rank, read_creator(record, creator_at), seq
end

local function read_seq(record)
    return (struct.unpack('<I6', record))
end
