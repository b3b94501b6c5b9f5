-- Groups of jobs in ARGV: id, due ms, record for each.
local function find(id)
    local record = redis.call('HGET', K.jobs, id)
    return record and read_job(record)
end

local function check(mode, at, size)
    for place = 1, mode == 'upsert' and 0 or size do
        local id = ARGV[at + 3 * (place - 1)]
        if mode == 'create' then
            if redis.call('HEXISTS', K.jobs, id) == 1 then
                return 'exists', place
            end
        else
            local job = find(id)
            if not job or job.kind == NOW then
                return 'missing', place
            end
        end
    end
end

local function replace(id)
    local job = find(id)
    if job then
        remove_job(id, job)
        emit_deleted(id, job.kind ~= NOW)
    end
end

-- Stores the group, announced unless it is silent; returns the earliest due ms.
local function put(at, size, silent)
    local seq = redis.call('HINCRBY', K.meta, 'seq', size) - size
    local jobs, places, first = {}, {}, nil
    for i = at, at + 3 * size - 1, 3 do
        local id, due = ARGV[i], tonumber(ARGV[i + 1])
        if not silent then
            replace(id)
        end
        seq = seq + 1
        local record = struct.pack('<I8', seq) .. string.sub(ARGV[i + 2], 9)
        local job = read_job(record)
        jobs[#jobs + 1], jobs[#jobs + 2] = id, record
        places[#places + 1], places[#places + 2] = job.rank * RANK + due, member(seq, NEXT, id)
        index_job(id, job)
        emit_created(id, record, due, job.kind ~= NOW and not silent)
        first = math.min(first or due, due)
    end
    in_batches('HSET', K.jobs, jobs, 2)
    in_batches('ZADD', K.due, places, 2)
    return first
end
