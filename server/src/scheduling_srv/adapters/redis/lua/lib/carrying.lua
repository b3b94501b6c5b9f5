--!include base definition job keeping replacing writing
--!row move id due:int offset:int size:int
-- Jobs that leave this shard for another one, each with what it keeps.
local function kept_by(id, asked, due, now)
    local old = find(id)
    if not old or is_cleared(old) then
        return nil
    end
    local kept = keep(id, old, read_job(asked), due, now)
    return kept or (is_noted(asked, ELAPSED) and {due = due, kind = NEXT, runs = {}}) or nil
end

-- What stands behind the records of a parcel: what the jobs keep, as JSON. '': nothing.
local function pack_carried(value, now, at, size)
    local carried, any = {}, false
    for i = at, at + MOVE_ROW * size - 1, MOVE_ROW do
        local id, due, from, bytes = move_row(i)
        local kept = kept_by(id, string.sub(value, from + 1, from + bytes), due, now)
        if kept then
            for n, nominal in ipairs(kept.runs) do
                kept.runs[n] = number(nominal)
            end
            carried[id] = {number(kept.due), number(kept.kind), kept.planning and '1' or '', unpack(kept.runs)}
            any = true
        end
    end
    return any and cjson.encode(carried) or ''
end

-- The same as `keep` returns it.
local function unpack_carried(text)
    if text == '' then
        return nil
    end
    local row = cjson.decode(text)
    local kept = {due = tonumber(row[1]), kind = tonumber(row[2]), planning = row[3] == '1', runs = {}}
    for n = 4, #row do
        kept.runs[n - 3] = tonumber(row[n])
    end
    return kept
end
