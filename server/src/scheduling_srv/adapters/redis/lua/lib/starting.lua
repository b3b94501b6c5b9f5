--!include base member numbers outbox
-- Starts runs: what is noted of them is stored by `save_runs`, all at once.
local begun, started, types, last_run = {}, {}, {}, 0

local function count(type)
    types[type] = types[type] or tonumber(redis.call('HGET', K.types, type) or '0')
    return types[type]
end

local function start_run(id, job, nominal, attempt, stage)
    if attempt > 1 then
        redis.call('ZREM', K.retries, retry_member(job.seq, id, nominal, attempt))
    end
    local instance, place = claim_instance(stage.left), stage.tail + #entries + 1
    local name = number(instance)
    last_run = place
    push(started, name, struct.pack(RUN, job.seq, RUN_WRITTEN, nominal, attempt, place, #job.type) .. job.type .. id)
    push(begun, stage.now, name)
    types[job.type] = count(job.type) + 1
    emit(struct.pack(QUEUED, QUEUE, job.kind, instance, nominal, attempt, job.seq, #id, #job.trace,
        job.type_size, #job.ready - job.type_size) .. id .. job.ready .. job.trace)
end

local function save_runs()
    in_batches('HSET', K.runs, started, 2)
    in_batches('ZADD', K.running, begun, 2)
    for type, running in pairs(types) do
        if running > 0 then -- others were only looked at
            redis.call('HSET', K.types, type, running)
        end
    end
    if numbered then
        redis.call('HSET', K.meta, 'instance', number(numbered), 'last_run', number(last_run))
    end
end
