-- Runs: instances of jobs from their staging to their answer.
local RUN = '<I8I8I4I8I2'
local begun, types, numbered = {}, {}, nil

local function count(type)
    types[type] = types[type] or tonumber(redis.call('HGET', K.types, type) or '0')
    return types[type]
end

-- Of several shards each has numbers of its own: an answer names its shard by them.
local function next_number(last)
    local next = (last + 1) % 4294967296
    if SHARDS > 1 then
        next = next + (SHARD - next) % SHARDS
        next = next < 4294967296 and next or SHARD
    end
    return next
end

-- A number that no unanswered run has (docs/contract.md). 0 would be left out by protobuf.
local function claim_instance(run)
    repeat
        numbered = next_number(numbered or meta('instance'))
    until numbered > 0 and redis.call('HSETNX', K.runs, number(numbered), run) == 1
    return numbered
end

local function start_run(id, job, nominal, attempt, now, tail)
    if attempt > 1 then
        redis.call('ZREM', K.retries, retry_member(job.seq, id, nominal, attempt))
    end
    local place = tail + #entries + 1
    local run = struct.pack(RUN, job.seq, nominal, attempt, place, #job.type) .. job.type .. id
    local instance = claim_instance(run)
    begun[#begun + 1] = now
    begun[#begun + 1] = number(instance)
    types[job.type] = count(job.type) + 1
    emit(struct.pack('<c1BI4I8I4I8I2I2I2I4', 'Q', job.kind, instance, nominal, attempt, job.seq, #id, #job.trace,
        job.type_size, job.data_size) .. id .. job.ready .. job.trace)
end

local function save_runs()
    in_batches('ZADD', K.running, begun, 2)
    for type, running in pairs(types) do
        if running > 0 then -- others were only looked at
            redis.call('HSET', K.types, type, running)
        end
    end
    if numbered then
        redis.call('HSET', K.meta, 'instance', number(numbered))
    end
end
