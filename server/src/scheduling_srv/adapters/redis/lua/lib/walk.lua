--!include counting order
-- Reads what `order` writes.
local LISTS_AT_ONCE = 8

-- Some of the lists that `key` names, from `list` on; nil: from the first, or the last.
local function next_lists(key, list, down)
    if down then
        local highest = list and number((list + 1) * COUNTS - 1) or '+inf'
        return redis.call('ZRANGE', key, highest, 0, 'BYSCORE', 'REV', 'LIMIT', 0, LISTS_AT_ONCE)
    end
    return redis.call('ZRANGE', key, number((list or 0) * COUNTS), '+inf', 'BYSCORE', 'LIMIT', 0, LISTS_AT_ONCE)
end

local function place_of(entry)
    return string.byte(entry) % TAGGED
end

local function has_type_tag(entry)
    return string.byte(entry) >= TAGGED
end

local function listed_id(entry)
    return string.sub(entry, has_type_tag(entry) and 5 or 4)
end

local function is_before(one, other)
    return place_of(one) < place_of(other)
end

local function entries_of(list)
    local entries, highest = redis.call('LRANGE', K.listed .. list, 0, -1), -1
    for i = 1, #entries do
        local place = string.byte(entries[i]) % TAGGED
        if place < highest then -- a rebuild lists them in any order
            table.sort(entries, is_before)
            break
        end
        highest = place
    end
    return entries
end

-- Calls look(seq, entry) for the jobs in the lists that next_lists_of(list, down) names, from the
-- creation number `seq` on (nil: from the first, or the last), until it returns true. After each
-- list it calls rest(seq, size): it has looked at all up to that number, and at so many entries. It
-- ends when that returns true as well.
local function walk(next_lists_of, seq, down, look, rest)
    repeat
        local lists = next_lists_of(seq and math.floor(seq / SPAN), down)
        for _, list in ipairs(lists) do
            local entries = entries_of(list)
            for i = down and #entries or 1, down and 1 or #entries, down and -1 or 1 do
                local entry = entries[i]
                local at = list * SPAN + string.byte(entry) % TAGGED
                local wanted = not seq or (down and at <= seq) or (not down and at >= seq)
                if wanted and look(at, entry) then
                    return
                end
            end
            seq = down and list * SPAN - 1 or (list + 1) * SPAN
            if rest and rest(down and seq + 1 or seq - 1, #entries) then
                return
            end
        end
    until #lists == 0 or seq < 0
end
