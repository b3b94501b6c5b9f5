--!include base
-- The counts of recurring jobs that have run (decision 31): they go with their jobs.
local forgotten, is_any_forgotten = {}, false -- ids

-- A recurring job goes.
local function forget_tally(id)
    forgotten[id], is_any_forgotten = true, true
end

-- It has only got another definition.
local function keep_tally(id)
    forgotten[id] = nil
end

local function is_forgotten(id)
    return forgotten[id]
end

local function save_forgotten()
    if not is_any_forgotten then
        return
    end
    local ids = {}
    for id in pairs(forgotten) do
        ids[#ids + 1] = id
    end
    in_batches('HDEL', K.tallies, ids)
end
at_the_end[#at_the_end + 1] = save_forgotten

-- A tally as a table: version, counts by outcome (that of outcome n at n + 1), the newest outcome; and
-- its `serials`.
local function read_tally(text)
    local tally = text and string.byte(text) == RAN_VERSION and {struct.unpack(TALLIED, text)}
        or {RAN_VERSION, 0, 0, 0, 0, 0, 0, 0, 0}
    tally.serials = tally[10] and string.sub(text, TALLIED_SIZE + 1) or ''
    return tally
end

local function pack_tally(tally)
    return struct.pack(TALLIED, unpack(tally, 1, 9)) .. tally.serials
end

-- The serials of a job as numbers, the oldest first.
local function serials_in(text)
    local serials = {}
    for at = 1, #text, SERIAL_SIZE do
        serials[#serials + 1] = struct.unpack(SERIAL, text, at)
    end
    return serials
end

-- Serials of the runs of a job in the history, the newest first.
local function serials_of(id)
    local once = redis.call('HGET', K.failed_once, id)
    local serials = serials_in(read_tally(redis.call('HGET', K.tallies, id)).serials)
    for _, serial in ipairs(once and serials_in(once) or {}) do
        serials[#serials + 1] = serial
    end
    table.sort(serials, function(one, other)
        return one > other
    end)
    return serials
end
