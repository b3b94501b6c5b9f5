--!include base intervals job outbox remove
-- Parcels: parts of a decided change that other shards have to do (decision 4).
local function parcel_key(name)
    return PARCEL_KEY .. name
end

-- Whether the call still has its claim on each of the ids in the arguments. Without a token:
-- whether nobody has any. A parcel waits for who claims its jobs, or they would arrive behind the
-- back of that call.
local function has_claims(token, at, size)
    for i = at, at + size - 1 do
        if (redis.call('GET', K.claim .. args[i]) or '') ~= token then
            return false
        end
    end
    return true
end

local dropped_farewells = {} -- of jobs that this call takes out for good

local function save_farewells()
    log_all(K.farewells, dropped_farewells)
end
at_the_end[#at_the_end + 1] = save_farewells

-- Takes out a job. `gone`: the time if it goes for good; nil: it goes on here, or in another shard.
-- `is_noted`: with a list that puts jobs in as well, so it comes back when that is undone.
local function drop_job(id, gone, is_noted)
    local record = redis.call('HGET', K.jobs, id)
    if record then
        local job = read_job(record)
        if is_noted then
            note_replaced(id, record, job)
        end
        remove_job(id, job)
        remember_removed(id, job)
        emit_deleted(id, is_resource(job.kind))
        if gone then
            dropped_farewells[#dropped_farewells + 1] = farewell_text(id, job.seq, GONE_DELETED, gone)
        end
    end
end

-- Notes a parcel, and which ids are in it. Its name grows with the outbox: of what was published
-- none is used again. In front of its entry there may be the head of a group, behind it there is
-- always a marker: it is on Kafka when two more than its name are.
local function send(value, at, size)
    local name = number(meta('tail') + #entries)
    grouped = true -- a job that goes, and the parcel that it goes on in
    redis.call('HSET', K.parcels, name, value)
    local moving = {}
    for i = at, at + size - 1 do
        push(moving, args[i], name)
    end
    in_batches('HSET', K.moving, moving, 2)
    local key = parcel_key(name)
    emit(struct.pack(KEYED, HAND_ON, #key) .. key .. value)
end
