--!include base definition heritage job keeping pauses replacing states writing
--!row move id due:int offset:int size:int
-- Jobs that leave this shard for another one, each with what it keeps.
local HERITAGE, TALLY, AT_REST = 'h', 'c', 'p' -- mark heritage, count and pause in a row of numbers
local PLANNING, HAS_PASSED = '1', 'p' -- of the next occurrence

local function to_hex(bytes)
    return (string.gsub(bytes, '.', function(byte)
        return string.format('%02x', string.byte(byte))
    end))
end

local function from_hex(digits)
    return (string.gsub(digits, '..', function(pair)
        return string.char(tonumber(pair, 16))
    end))
end

local function pack_heritage(record)
    local created, more = heritage_of(record)
    return HERITAGE .. to_hex(created) .. ':' .. to_hex(more)
end

local function unpack_heritage(text)
    local created, more = string.match(text, '^' .. HERITAGE .. '(%x*):(%x*)$')
    return from_hex(created), from_hex(more)
end

local function state_of_next(kept)
    return kept.planning and PLANNING or kept.passed and HAS_PASSED or ''
end

-- What a job keeps in the next shard, as a row of texts: `due` (or ''), kind and state of its next
-- occurrence, its heritage if one of the records has one, its count, its pause, and the nominal times
-- of runs. nil: nothing.
local function kept_by(id, asked, due, now)
    local old = find(id)
    if not old or is_cleared(old) or old.kind == ENDING then
        return nil
    end
    local kept = keep(id, old, read_job(asked), due, now)
        or (is_noted(asked, ELAPSED) and {due = due, kind = NEXT, runs = {}}) or nil
    local inherits = shape_of(asked).has_birth or shape_of(old.record).has_birth
    if not kept and not inherits then
        return nil
    end
    local row = kept and {number(kept.due), number(kept.kind), state_of_next(kept)} or {'', '', ''}
    if inherits then
        row[4] = pack_heritage(old.record)
    end
    if is_counted(old) then
        local state = state_of(id, old.seq)
        row[#row + 1] = TALLY .. number(state.last) .. ':' .. number(state.counted)
    end
    local pause = pause_of(id)
    if pause then
        row[#row + 1] = AT_REST .. to_hex(pause)
    end
    for _, nominal in ipairs(kept and kept.runs or {}) do
        row[#row + 1] = number(nominal)
    end
    return row
end

-- What stands behind the records of a parcel: what the jobs keep, as JSON. '': nothing.
local function pack_carried(value, now, at, size)
    local carried, any = {}, false
    for i = at, at + MOVE_ROW * size - 1, MOVE_ROW do
        local id, due, from, bytes = move_row(i)
        carried[id] = kept_by(id, string.sub(value, from + 1, from + bytes), due, now)
        any = any or carried[id] ~= nil
    end
    return any and cjson.encode(carried) or ''
end

-- The same as `replace` returns it.
local function unpack_carried(text)
    if text == '' then
        return nil
    end
    local row = cjson.decode(text)
    local kept = {due = tonumber(row[1]), kind = tonumber(row[2]), planning = row[3] == PLANNING,
        passed = row[3] == HAS_PASSED, runs = {}}
    local created, more, state, pause
    for n = 4, #row do
        if string.sub(row[n], 1, 1) == HERITAGE then
            created, more = unpack_heritage(row[n])
        elseif string.sub(row[n], 1, 1) == TALLY then
            local last, counted = string.match(row[n], '(%d+):(%d+)$')
            state = {last = tonumber(last), counted = tonumber(counted)}
        elseif string.sub(row[n], 1, 1) == AT_REST then
            pause = from_hex(string.sub(row[n], 2))
        else
            kept.runs[#kept.runs + 1] = tonumber(row[n])
        end
    end
    return kept.due and kept or nil, created, more, state, pause
end
