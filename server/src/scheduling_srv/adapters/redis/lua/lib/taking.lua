--!include base late outbox
-- The publisher's side of the outbox. `published` is the number of the last entry that is on Kafka.

-- The bytes of what was trimmed: all of them, or those up to the last mark that was passed.
local function uncount_bytes(published, left)
    if left == 0 then
        redis.call('HSET', K.meta, 'outbox_bytes', 0, 'outbox_gone', 0, 'outbox_longest', 0)
        redis.call('DEL', K.sizes)
        return
    end
    local passed = redis.call('ZRANGE', K.sizes, number(published), '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1)[1]
    if passed then
        redis.call('HSET', K.meta, 'outbox_gone', passed)
        redis.call('ZREMRANGEBYSCORE', K.sizes, '-inf', number(published))
    end
end

-- Trims what is published, as is known since `now`; false when it does not lie within this outbox.
local function trim(published, name, now)
    local trimmed, length = meta('trimmed'), redis.call('LLEN', K.outbox)
    local done = published - trimmed
    local here = lineage() == name and done >= 0 and done <= length
    if not here or published > meta('taken') then
        return false
    end
    if done > 0 then
        redis.call('HSET', K.meta, 'trimmed', number(published), 'moved_at', clock_ms()) -- first: a full Redis refuses this one
        redis.call('LTRIM', K.outbox, done, -1)
        uncount_bytes(published, length - done)
        if SHARDS > 1 then
            redis.call('ZREMRANGEBYSCORE', K.leaving, '-inf', number(published))
        end
        note_published(trimmed, now)
        redis.call('PUBLISH', K.wake, 'published ' .. name .. ' ' .. number(published))
    end
    return true
end

-- Some entries from the place `at` on, at most so many as may be read at once. Those that this call
-- has appended are still in memory: they are not read again. Returns where they begin and end in
-- the table that is returned.
local function read_entries(at, size, length)
    local own = at - (length - #entries)
    if own >= 0 then
        return entries, own + 1, math.min(own + size, #entries)
    end
    local piece = redis.call('LRANGE', K.outbox, at, at + size - 1)
    return piece, 1, #piece
end

-- Adds what this call has appended to `result`, if that is all behind the `at` entries that were handed
-- out before, and so much may be: in most staging calls. Returns whether it did.
local function hand_out_own(result, at, length, most, bytes)
    local size = length - at
    if size > #entries or size > most or emitted > bytes then
        return false
    end
    local before, first = #result, #entries - size
    for i = 1, size do
        result[before + i] = entries[first + i]
    end
    return true
end

-- Adds at most `most` entries of at most so many bytes, behind the `at` ones. Returns how far they go.
local function hand_out_some(result, at, length, most, bytes)
    local group = 0
    most = most + at
    local at_once = math.max(1, math.floor(BUDGET / math.max(meta('outbox_longest'), LONG)))
    local function is_wanted() -- a group that was begun is taken as a whole
        return (at < most and bytes > 0) or at < group
    end
    while is_wanted() and at < length do
        local piece, first, last = read_entries(at, math.min(at_once, math.max(most, group) - at), length)
        for i = first, last do
            if not is_wanted() then
                break
            end
            local entry = piece[i]
            result[#result + 1] = entry
            at, bytes = at + 1, bytes - #entry
            if string.byte(entry) == GROUP_BYTE then
                local _, size = struct.unpack(GROUPED, entry)
                group = math.max(group, at + size)
            end
        end
    end
    return at
end

-- Adds to `result` the number before the first entry, the number of entries there are and their
-- bytes, and at most `most` entries of at most so many bytes, behind the `at` ones that were handed
-- out before and are still under way. Notes how far they go.
local function hand_out(result, published, at, most, bytes)
    local before, length = #result + 3, redis.call('LLEN', K.outbox)
    push(result, number(published + at), length)
    result[before] = waiting_bytes()
    at = hand_out_own(result, at, length, most, bytes) and length or hand_out_some(result, at, length, most, bytes)
    if #result > before then
        redis.call('HSET', K.meta, 'taken', number(published + at))
    end
    return result
end
