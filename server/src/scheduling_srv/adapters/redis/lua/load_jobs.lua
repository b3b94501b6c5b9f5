--!include base job member order states unique
--!args token jobs...
--!row loaded id due record
-- Rebuild: jobs with their old creation numbers, in place of those that an earlier call has loaded.
-- `due`: '' if the job only has runs. `record`: '' if it is gone. No id stands twice.
-- Returns: how many are done, and by how many there are more jobs | lost(). Not all are done when
--          OLD_BYTES of the jobs of before were read.
local AT_ONCE = 50
local OLD_BYTES = 4000000
if not owns(token) then
    return lost()
end

local function forget(id, record)
    local kind, _, creator, seq, type, labels = read_places(record)
    give_key_back(id, record)
    redis.call('HDEL', K.jobs, id)
    redis.call('HDEL', K.states, id)
    redis.call('ZREM', K.due, member(seq, NEXT, id))
    if is_resource(kind) then
        unlist(seq, id, creator, type, labels)
    end
end

-- When the occurrence of this nominal time is due.
local function due_of(id, record, nominal)
    local shape = shape_of(record)
    return shape.has_more and note_nominal(id, read_job(record), nominal) or nominal
end

local done, more, size, old_bytes = 0, 0, (#args - jobs_at + 1) / LOADED_ROW, 0
local function forget_old(last)
    local ids = {}
    for n = done + 1, last do
        ids[#ids + 1] = loaded_row(jobs_at + LOADED_ROW * (n - 1))
    end
    for i, old in ipairs(redis.call('HMGET', K.jobs, unpack(ids))) do
        if old then
            forget(ids[i], old)
            more, old_bytes = more - 1, old_bytes + #old
        end
    end
end

local jobs, places, keyed = {}, {}, {}
while done < size and old_bytes < OLD_BYTES do
    local last = math.min(done + AT_ONCE, size)
    forget_old(last)
    for n = done + 1, last do
        local id, due, record = loaded_row(jobs_at + LOADED_ROW * (n - 1))
        if record ~= '' then
            local kind, rank, creator, seq, type, labels = read_places(record)
            push(jobs, id, record)
            if shape_of(record).has_more and kind ~= ENDING then
                keyed[#keyed + 1] = {id, record}
            end
            note_largest(#record)
            if is_resource(kind) then
                enlist(seq, id, creator, type, labels)
            end
            if due ~= '' then
                push(places, rank * RANK + due_of(id, record, tonumber(due)), member(seq, NEXT, id))
            end
            more = more + 1
        end
    end
    done = last
end
in_batches('HSET', K.jobs, jobs, 2)
in_batches('ZADD', K.due, places, 2)
for _, pair in ipairs(keyed) do
    take_key(pair[1], pair[2])
end
save_order()
return {done, more}
