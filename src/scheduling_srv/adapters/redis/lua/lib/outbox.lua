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

-- Names a run that waits by itself in the journal.
local function retry_key(id, seq, nominal)
    return id .. '\0' .. number(seq) .. '\0' .. number(nominal)
end

local function emit_waiting(id, seq, nominal, attempt, due)
    local key = retry_key(id, seq, nominal)
    emit(struct.pack('<c1I2', 'R', #key) .. key .. struct.pack('<I8I8I4I8', seq, nominal, attempt, due))
end

local grouped = false -- whether the entries may only be published together

-- Appends all that was emitted; returns the number of the last entry. `due`: a run is due then.
local function flush(due)
    for _, save in ipairs(at_the_end) do
        save()
    end
    if grouped then
        table.insert(entries, 1, struct.pack('<c1I4', 'G', #entries))
    end
    in_batches('RPUSH', K.outbox, entries)
    if #entries > 0 and redis.call('LLEN', K.outbox) == #entries then
        redis.call('HSET', K.meta, 'moved_at', clock_ms()) -- it was empty: nothing was to be published
    end
    local tail = redis.call('HINCRBY', K.meta, 'tail', #entries)
    if #entries > 0 or due then
        redis.call('PUBLISH', K.wake, 'work ' .. (due and number(due) or '-'))
    end
    return tail
end
