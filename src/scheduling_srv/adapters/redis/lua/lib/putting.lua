-- Creation numbers, `size` of them behind the one that is returned. Those of several shards follow the
-- clock, 64 for each millisecond since 2026: so the jobs of all shards have an order.
local function claim_seqs(size)
    if SHARDS > 1 then
        local time = redis.call('TIME')
        local clock = (tonumber(time[1]) - 1767225600) * 64000 + math.floor(tonumber(time[2]) / 1000) * 64
        redis.call('HSET', K.meta, 'seq', number(math.max(meta('seq'), clock)))
    end
    return redis.call('HINCRBY', K.meta, 'seq', size) - size
end

-- Puts a group of jobs from ARGV into the store and every index, announced unless the mode is 'silent';
-- returns the earliest due ms. `numbered` gives the creation number of the n-th job, from 0.
local function put(mode, at, size, numbered)
    local seq = numbered and 0 or claim_seqs(size)
    local jobs, places, first, largest = {}, {}, nil, 0
    for i = at, at + 3 * size - 1, 3 do
        local id, due = ARGV[i], tonumber(ARGV[i + 1])
        if mode == 'update' or mode == 'upsert' then
            replace(id)
        end
        seq = numbered and numbered((i - at) / 3) or seq + 1
        local record = struct.pack('<I6', seq) .. string.sub(ARGV[i + 2], 7)
        local kind, rank, creator = read_places(record)
        push(jobs, id, record)
        push(places, rank * RANK + due, member(seq, NEXT, id))
        if kind ~= NOW then
            enlist(seq, id, creator)
        end
        emit_created(id, record, due, kind ~= NOW and mode ~= 'silent')
        first = math.min(first or due, due)
        if #record > largest then
            largest = #record
        end
    end
    note_largest(largest)
    in_batches('HSET', K.jobs, jobs, 2)
    in_batches('ZADD', K.due, places, 2)
    return first
end
