--!include base heritage job keeping member order outbox pauses replacing states unique
-- Creation numbers, `size` of them behind the one that is returned. Those of several shards follow
-- the clock, 64 for each millisecond since 2026: so the jobs of all shards have an order.
local function claim_seqs(size)
    if SHARDS > 1 then
        local time = redis.call('TIME')
        local clock = (tonumber(time[1]) - 1767225600) * 64000 + math.floor(tonumber(time[2]) / 1000) * 64
        redis.call('HSET', K.meta, 'seq', number(math.max(meta('seq'), clock)))
    end
    return redis.call('HINCRBY', K.meta, 'seq', size) - size
end

-- When an occurrence of a job without rules is due.
local function at_once(nominal)
    return nominal
end

-- The same for any other job, whose STATE it notes. `state`: of the job before it.
local function waiting_of(id, record, state)
    local job = read_job(record)
    return has_state(job) and function(nominal)
        keep_count(id, job, state, nominal)
        return delayed(id, job, nominal)
    end or at_once
end

-- Puts a group of jobs from the arguments into the store and every index, announced unless the mode
-- is 'silent'; returns the earliest due ms, nil if nothing changed. `numbered` gives the creation
-- number of the n-th job, from 0; `carried` what it keeps of the job that it was in another shard.
local function put(mode, at, size, now, numbered, carried)
    local seq = numbered and 0 or claim_seqs(size)
    local replaces, announced = mode == 'update' or mode == 'upsert', mode ~= 'silent'
    local jobs, places, first, largest = {}, {}, nil, 0
    for i = at, at + JOB_ROW * size - 1, JOB_ROW do
        local id, due, asked = job_row(i)
        local kept, created, more, state, pause
        if carried then
            kept, created, more, state, pause = carried((i - at) / JOB_ROW)
        end
        if (replaces or finished[id]) and not kept and not created then
            kept, created, more, state, pause = replace(mode, id, due, asked, now)
        end
        seq = numbered and numbered((i - at) / JOB_ROW) or seq + 1
        if kept ~= UNTOUCHED then
            local own = kept and kept.stays or seq
            local record = created and inherit(asked, own, created, more, now)
                or struct.pack(SEQ, own) .. string.sub(asked, SEQ_SIZE + 1)
            local kind, rank, creator, _, type, labels, has_more = read_places(record)
            local resource = is_resource(kind)
            if kept and kept.passed then
                place_passed(kept, read_job(record), pause, now)
            end
            local n = #jobs
            jobs[n + 1], jobs[n + 2] = id, record
            if resource then
                enlist(own, id, creator, type, labels)
            end
            emit_created(id, record, kept and kept.due or due, resource and announced)
            if kept and kept.open and kept.open > kept.due then
                emit_created(id, record, kept.open, false)
            end
            local wait
            if has_more then
                wait = waiting_of(id, record, state)
                take_key(id, record)
            end
            if pause then
                pause_job(id, pause)
            end
            if kept then
                due = plant(kept, own, id, rank, places, wait or at_once)
            else
                n = #places
                places[n + 1], places[n + 2] = rank * RANK + (wait and wait(due) or due), member(own, NEXT, id)
            end
            if not first or due < first then
                first = due
            end
            if #record > largest then
                largest = #record
            end
        end
    end
    note_largest(largest)
    in_batches('HSET', K.jobs, jobs, 2)
    in_batches('ZADD', K.due, places, 2)
    return first
end
