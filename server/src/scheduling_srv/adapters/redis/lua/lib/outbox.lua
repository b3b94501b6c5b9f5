--!include base origins
-- The outbox: entries in the order of `emit`, numbered by `flush`.
local entries, emitted, longest = {}, 0, 0 -- and their bytes
local departed = {} -- ids of the jobs that these entries remove, if there are several shards

local function emit(entry)
    local size = #entry
    entries[#entries + 1], emitted = entry, emitted + size
    if size > longest then
        longest = size
    end
end

-- Bytes are counted as they are added. Where a multiple of COUNTED is passed, `sizes` notes how
-- many there were: so trimming knows by the number of an entry how many are gone, to the nearest
-- mark (see `trim`).
local COUNTED = 1000000
local LONG = BUDGET / 100 -- entries are read a hundred at once, or fewer if there are longer ones

local function note_bytes(tail)
    local total = redis.call('HINCRBY', K.meta, 'outbox_bytes', emitted)
    if math.floor(total / COUNTED) > math.floor((total - emitted) / COUNTED) then
        redis.call('ZADD', K.sizes, tail, number(total))
    end
    if longest > LONG and longest > meta('outbox_longest') then
        redis.call('HSET', K.meta, 'outbox_longest', longest)
    end
end

local function waiting_bytes()
    local counts = redis.call('HMGET', K.meta, 'outbox_bytes', 'outbox_gone')
    return (tonumber(counts[1]) or 0) - (tonumber(counts[2]) or 0)
end

-- Whether Kafka is so far behind that nothing more may wait: what bounds Redis's memory then.
-- `most` is '<entries>/<bytes>'.
local function is_full(most)
    local count, bytes = string.match(most, '(%d+)/(%d+)')
    return redis.call('LLEN', K.outbox) >= tonumber(count) or waiting_bytes() >= tonumber(bytes)
end

local function emit_created(id, record, due, resource)
    emit(struct.pack(CREATED, resource and CREATE or NEW_NOW, due, #id) .. id .. record)
end

local function emit_deleted(id, resource)
    emit((resource and DELETE or TOMBSTONE) .. id)
    if SHARDS > 1 then
        departed[#departed + 1] = id
    end
end

-- An id as JSON. Most have nothing to be escaped.
local function quoted(id)
    return string.find(id, '[^%w_-]') and cjson.encode(id) or '"' .. id .. '"'
end

-- jobsDeleted with these headers, as JSON.
local function emit_happened(id, headers)
    local key, size = 'jobsDeleted', #id
    local varint = size < 128 and string.char(size) or string.char(size % 128 + 128, math.floor(size / 128))
    emit(struct.pack(EVENT, HAPPENED, RESOURCES, #key, #headers) .. key .. headers .. '\10' .. varint .. id)
end

-- A one-time job has ended. Its jobsDeleted says how: an event with headers
-- (formats/kafka_records.py). The tombstone is an entry of its own.
local function emit_ended(id, outcome, attempts, problem)
    local text = '[["job-id",' .. quoted(id) .. '],["outcome","' .. outcome .. '"],["attempts","' .. number(attempts)
        .. (problem ~= '' and '"],["error",' .. cjson.encode(problem) .. ']]' or '"]]')
    emit_happened(id, text)
    emit_deleted(id, false)
end

-- Names a run that waits by itself in the journal.
local function retry_key(id, seq, nominal, origin)
    return id .. '\0' .. number(seq) .. '\0' .. number(nominal) .. mark_of(origin)
end

local function emit_waiting(id, seq, nominal, attempt, due, origin)
    local key = retry_key(id, seq, nominal, origin)
    local value = struct.pack(JOURNAL_RETRY, seq, nominal, attempt + (origin or SCHEDULE) * ORIGIN_UNIT, due)
    emit(struct.pack(KEYED, PUT_OFF, #key) .. key .. value)
end

local grouped = false -- whether the entries may only be published together
local lists = {} -- where lists lie in a group, and the records that they come from
local replaced = {} -- what their jobs were before

-- Notes which of the entries are one list: it is undone as a whole if Kafka refuses a part of it
-- (decision 9; in Python: formats/entry_groups.py). `partition` and `position`: behind the record
-- that it comes from; empty if it comes from a call.
local function note_list(first, partition, position)
    local behind = tonumber(string.match(position, '^%d+') or '') or 1
    local offset = partition == '' and 0 or math.max(0, behind - 1)
    lists[#lists + 1] = struct.pack(LIST_PART, first, #entries - first + 1, offset) .. partition
end

local function section(letter, text)
    return struct.pack(SECTION, letter, #text) .. text
end

-- The entries repeat what Kafka has had: nothing is undone if it refuses one of them.
local function note_repeated()
    grouped = true
    replaced[#replaced + 1] = section(REPEATED, '')
end

-- The head of a group: how many entries follow, and what undoing its lists takes.
local function group_head()
    local head = {struct.pack(GROUPED, GROUP, #entries)}
    for i, list in ipairs(lists) do
        head[i + 1] = section(LIST, list)
    end
    return table.concat(head) .. table.concat(replaced)
end

-- Until the entry `tail` is on Kafka, claims say that these jobs are leaving (decision 26).
local function note_departed(tail)
    local places, score = {}, number(tail)
    for _, id in ipairs(departed) do
        push(places, score, id)
    end
    in_batches('ZADD', K.leaving, places, 2)
end

-- Appends all that was emitted; returns the number of the last entry. `due`: a run is due then.
local function flush(due)
    for _, save in ipairs(at_the_end) do
        save()
    end
    if grouped then
        emit(group_head())
        table.insert(entries, 1, table.remove(entries))
    end
    local length = in_batches('RPUSH', K.outbox, entries)
    if length == #entries then
        redis.call('HSET', K.meta, 'moved_at', clock_ms()) -- it was empty: nothing was to be published
    end
    local tail = redis.call('HINCRBY', K.meta, 'tail', #entries)
    if #entries > 0 then
        note_bytes(tail)
    end
    if #departed > 0 then
        note_departed(tail)
    end
    if #entries > 0 or due then
        redis.call('PUBLISH', K.wake, 'work ' .. (due and number(due) or '-'))
    end
    return tail
end
