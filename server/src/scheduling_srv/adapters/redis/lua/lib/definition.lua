--!include base limits member states
-- Compares what clients asked for (decision 11): triggers as they are meant, defaults as if they
-- were given.
local SAID_ELSEWHERE = {[13] = true, [14] = true, [15] = true, [16] = true, [20] = true} -- in header and policy
local INTERVAL_TEXT, WHEN_TEXT = 20, 21 -- fields of a Job

local function is_noted(asked, note)
    return math.floor(string.byte(asked) / note) % 2 == 1
end

-- Whether an Update leaves alone what MORE says: one of 2018 does, and a record of an earlier version
-- says nothing of it.
local function keeps_more(asked)
    return is_noted(asked, KEEP_MORE) or not shape_of(asked).has_birth
end

-- The protobuf varint that begins there, and the place after it.
local function read_varint(text, at)
    local value, unit = 0, 1
    repeat
        local byte = string.byte(text, at) or 0
        value, unit, at = value + byte % 128 * unit, unit * 128, at + 1
    until byte < 128
    return value, at
end

-- Where the field behind this place ends. nil: protobuf has no such type, or has given it up.
local function field_end(text, at, wire)
    if wire == 0 then
        local _, behind = read_varint(text, at)
        return behind
    elseif wire == 2 then
        local size, from = read_varint(text, at)
        return from + size
    end
    return wire == 1 and at + 8 or wire == 5 and at + 4 or nil
end

-- Type and data, as they are stored.
local function ready_of(job)
    return string.sub(job.record, job.at + 1, job.at + job.type_size + job.data_size)
end

-- The job's fields other than id, type and data, as they are stored.
local function rest_of(job)
    return string.sub(job.record, job.at + job.type_size + job.data_size + 1, #job.record - job.trace_size)
end

-- Those of them that are wanted. nil: they cannot be read.
local function fields_of(job, is_wanted)
    local rest, found, at = rest_of(job), {}, 1
    while at <= #rest do
        local tag, from = read_varint(rest, at)
        local behind = field_end(rest, from, tag % 8)
        if not behind then
            return nil
        end
        if is_wanted(math.floor(tag / 8)) then
            found[#found + 1] = string.sub(rest, at, behind - 1)
        end
        at = behind
    end
    return table.concat(found)
end

local function text_of(job, wanted)
    return fields_of(job, function(field)
        return field == wanted
    end)
end

-- The first field of the data.
local function timezone_of(job)
    local size, at = read_varint(job.record, job.at + job.type_size + 1)
    if size == 0 or string.byte(job.record, at) ~= 10 then
        return ''
    end
    size, at = read_varint(job.record, at + 1)
    return string.sub(job.record, at, at + size - 1)
end

-- Of two recurring jobs. The `interval` of a cron job is a fingerprint; those of older versions
-- have none.
local function is_same_schedule(old, new)
    if old.kind ~= new.kind or timezone_of(old) ~= timezone_of(new) or is_noted(new.record, NEW_PHASE) then
        return false
    end
    if old.kind == CRON and (old.interval == 0 or new.interval == 0) then
        return text_of(old, INTERVAL_TEXT) == text_of(new, INTERVAL_TEXT)
    end
    return old.interval == new.interval
end

local BESIDE = 500 -- waiting runs of a one-time job that are read at a time: those by hand as well

-- When the run of a one-time job is due, or was due if it waits for its retry. nil: it is under
-- way.
local function waits_for(id, job)
    for _, kind in ipairs({NEXT, MISSED}) do
        local text = member(job.seq, kind, id)
        local score = redis.call('ZSCORE', K.due, text)
            or (job.parallel > 0 and redis.call('ZSCORE', blocked_key(job.parallel, job.type), text))
        if score then
            return nominal_of(id, job, score - job.rank * RANK)
        end
    end
    local at = 0
    while true do
        local found = redis.call('ZRANGE', K.retries, job.seq, job.seq, 'BYSCORE', 'LIMIT', at, BESIDE)
        for _, retry in ipairs(found) do
            local _, _, nominal, _, origin = read_place(retry)
            if origin == SCHEDULE then
                return nominal
            end
        end
        if #found < BESIDE then
            return nil
        end
        at = at + BESIDE
    end
end

-- Of two one-time jobs: whether the new one is due when the old one was. A relative `when` never
-- is.
local function is_same_when(id, old, new, due)
    if old.kind ~= ONCE or new.kind ~= ONCE or is_noted(new.record, RELATIVE) then
        return false
    end
    local is_same_text = rest_of(old) == rest_of(new) or text_of(old, WHEN_TEXT) == text_of(new, WHEN_TEXT)
    return (is_same_text and timezone_of(old) == timezone_of(new)) or waits_for(id, old) == due
end

local function is_same_rest(old, new)
    local function is_wanted(field)
        return not SAID_ELSEWHERE[field] and not (old.kind == ONCE and field == WHEN_TEXT)
    end
    if rest_of(old) == rest_of(new) then
        return true
    end
    local fields = fields_of(old, is_wanted)
    return fields ~= nil and fields == fields_of(new, is_wanted)
end

-- The definition in MORE: what follows its size, revision and time of the last change.
local function parts_of(job)
    local fixed, at = struct.pack(FLAGS, 0, 0, 0), job.at - job.more_size
    return job.more_size > 0 and string.sub(job.record, at + MORE_SIZE - FLAGS_SIZE + 1, job.at) or fixed
end

-- Whether nothing that the client may ask for differs; the trace that came with its call does not
-- count.
local function is_identical(id, old, new, due)
    for _, name in ipairs({'kind', 'rank', 'attempts', 'backoff', 'delay', 'parallel'}) do
        if old[name] ~= new[name] then
            return false
        end
    end
    if not is_resource(old.kind) or ready_of(old) ~= ready_of(new) or not is_same_rest(old, new) then
        return false
    end
    if not keeps_more(new.record) and parts_of(old) ~= parts_of(new) then
        return false
    end
    return old.kind == ONCE and is_same_when(id, old, new, due) or old.kind ~= ONCE and is_same_schedule(old, new)
end
