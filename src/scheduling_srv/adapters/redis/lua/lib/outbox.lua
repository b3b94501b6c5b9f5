-- The outbox: entries in the order of `emit`, numbered by `flush`.
local entries = {}

local function emit(entry)
    entries[#entries + 1] = entry
end

local function emit_created(id, record, due, resource)
    emit(struct.pack('<c1I8I2', resource and 'C' or 'N', due, #id) .. id .. record)
end

local function emit_deleted(id, resource)
    emit((resource and 'D' or 'X') .. id)
end

local function earliest(now)
    local first = now
    local function look(key, from)
        local head
        if from then
            head = redis.call('ZRANGE', key, from, '(' .. number(from + RANK), 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
        else
            head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
        end
        if head[2] then
            first = math.min(first, tonumber(head[2]) - (from or 0))
        end
    end
    look(K.running)
    look(K.waiting)
    look(K.plan)
    for rank = 0, 4 do
        look(K.due, rank * RANK)
    end
    return first
end

-- Says what the position record must hold once all before it is published (decision 1).
local function emit_marker(now)
    local marker = {
        replay_from = number(earliest(now)),
        seq = number(meta('seq')),
        instance = number(meta('instance')),
        reset = number(meta('reset')),
    }
    local inputs = redis.call('HGETALL', K.inputs)
    if #inputs > 0 then
        marker.inputs = {}
        for i = 1, #inputs, 2 do
            marker.inputs[inputs[i]] = inputs[i + 1]
        end
    end
    emit('M' .. cjson.encode(marker))
end

-- Appends all that was emitted; returns the number of the last entry. `due`: a run is due then.
local function flush(due)
    in_batches('RPUSH', K.outbox, entries)
    local tail = redis.call('HINCRBY', K.meta, 'tail', #entries)
    if #entries > 0 or due then
        redis.call('PUBLISH', K.wake, 'work ' .. (due and number(due) or '-'))
    end
    return tail
end
