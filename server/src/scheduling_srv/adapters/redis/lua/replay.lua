--!include base outbox
--!args topic start:int bounds letters...
--!row letter name low:int offset:int entry
-- Puts the records of dead letters on their topics again, each once.
-- `topic`: id of the dead-letter topic. `start`: the rank from which old notes are looked at.
-- `bounds`: see `is_full`. A letter: `partition:offset`, the first offset that its partition has,
-- its own, and the record as an event.
-- Returns: 'ok' | 'not ready' | 'old' (the store has an earlier format) | 'full', last entry,
--          lineage, how many were put back
if not is_ready() then
    return {'not ready'}
end
if not has_format(2) then
    return {'old'}
end
if is_full(bounds) then
    return {'full'}
end
local LOOKED_AT = 100

local function key_of(member)
    return REPLAYED_KEY .. member
end

local count, lows = 0, {}
for i = letters_at, #args, LETTER_ROW do
    local name, low, offset, entry = letter_row(i)
    local member = name .. ' ' .. topic
    lows[string.match(name, '^%d+')] = low
    if redis.call('ZADD', K.replayed, 'NX', offset, member) == 1 then
        local key = key_of(member)
        emit(struct.pack(KEYED, NOTE_REPLAYED, #key) .. key .. '{}')
        emit(entry)
        count = count + 1
    end
end

-- Kafka has deleted these letters, or their topic is another one.
for _, member in ipairs(redis.call('ZRANGE', K.replayed, start, start + LOOKED_AT - 1)) do
    local partition, offset, of = string.match(member, '^(%d+):(%d+) (.*)$')
    local low = lows[partition]
    if of ~= topic or (low and tonumber(offset) < low) then
        redis.call('ZREM', K.replayed, member)
        emit(TOMBSTONE .. key_of(member))
    end
end
if #entries > 0 then
    note_repeated() -- a record and its note are published together
end
return {'ok', flush(), lineage(), count}
