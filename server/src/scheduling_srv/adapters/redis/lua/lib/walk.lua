--!include base order
-- Reads what `order` writes.
local function count_listed(key)
    return -tonumber(redis.call('ZSCORE', key, ALL) or '0')
end

-- The lists that `key` names, eight at a time, from the one with `seq` on; nil: from the first, or
-- last.
local function next_lists(key, seq, down)
    local list = seq and math.floor(seq / SPAN)
    if down then
        return redis.call('ZRANGE', key, list and number((list + 1) * COUNTS - 1) or '+inf', 0, 'BYSCORE', 'REV', 'LIMIT', 0, 8)
    end
    return redis.call('ZRANGE', key, number((list or 0) * COUNTS), '+inf', 'BYSCORE', 'LIMIT', 0, 8)
end

local function is_before(one, other)
    return string.byte(one) < string.byte(other)
end

local function entries_of(list)
    local entries = redis.call('LRANGE', K.listed .. list, 0, -1)
    for i = 2, #entries do
        if is_before(entries[i], entries[i - 1]) then -- a rebuild lists them in any order
            table.sort(entries, is_before)
            break
        end
    end
    return entries
end

-- Calls look(seq, id) for the jobs that `key` may show, from the creation number `seq` on (nil:
-- from the first, or the last), until it returns true. With `tagged` only for those whose entries
-- have that tag. After each list it calls rest(seq, size): it has looked at all up to that number,
-- and at so many entries. It ends when that returns true as well.
local function walk(key, seq, down, look, tagged, rest)
    repeat
        local lists = next_lists(key, seq, down)
        for _, list in ipairs(lists) do
            local entries = entries_of(list)
            for i = down and #entries or 1, down and 1 or #entries, down and -1 or 1 do
                local entry = entries[i]
                if not tagged or string.sub(entry, 2, 3) == tagged then
                    local at = list * SPAN + string.byte(entry)
                    local wanted = not seq or (down and at <= seq) or (not down and at >= seq)
                    if wanted and look(at, string.sub(entry, 4)) then
                        return
                    end
                end
            end
            seq = down and list * SPAN - 1 or (list + 1) * SPAN
            if rest and rest(down and seq + 1 or seq - 1, #entries) then
                return
            end
        end
    until #lists == 0 or seq < 0
end
