-- What Read shows, in order of creation: lists of SPAN creation numbers each, `created` and `creator:*`
-- say which of them hold jobs and how many. That is a third of what two sorted sets of ids would take.
local SPAN = 128
local COUNTS = 256 -- scores are list * COUNTS + jobs in it
local ALL = 'all' -- the member that counts them all; its score is below zero
local listed, counted, tags = {}, {}, {}

-- Two bytes of a creator: they spare most looks at jobs of others.
local function tag(creator)
    tags[creator] = tags[creator] or struct.pack('>I2', tonumber(string.sub(redis.sha1hex(creator), 1, 4), 16))
    return tags[creator]
end

local function count_in(key, list, change)
    counted[key] = counted[key] or {}
    counted[key][list] = (counted[key][list] or 0) + change
end

local function save_counts(key, changes)
    local total = 0
    for list, change in pairs(changes) do
        local empty = list * COUNTS
        local score = tonumber(redis.call('ZSCORE', key, number(list)) or empty) + change
        if score > empty then
            redis.call('ZADD', key, number(score), number(list))
        else
            redis.call('ZREM', key, number(list))
        end
        total = total + change
    end
    if tonumber(redis.call('ZINCRBY', key, -total, ALL)) == 0 then
        redis.call('ZREM', key, ALL)
    end
end

local function save_order()
    for list, entries in pairs(listed) do
        in_batches('RPUSH', K.listed .. number(list), entries)
    end
    for key, changes in pairs(counted) do
        save_counts(key, changes)
    end
    listed, counted = {}, {}
end
at_the_end[#at_the_end + 1] = save_order

local function enlist(seq, id, creator)
    local list = math.floor(seq / SPAN)
    listed[list] = listed[list] or {}
    table.insert(listed[list], string.char(seq % SPAN) .. tag(creator) .. id)
    count_in(K.created, list, 1)
    count_in(K.creator .. creator, list, 1)
end

local function unlist(seq, id, creator)
    local list = math.floor(seq / SPAN)
    if listed[list] then
        save_order() -- it may be among those that are not there yet
    end
    redis.call('LREM', K.listed .. number(list), 1, string.char(seq % SPAN) .. tag(creator) .. id)
    count_in(K.created, list, -1)
    count_in(K.creator .. creator, list, -1)
end

local function count_listed(key)
    return -tonumber(redis.call('ZSCORE', key, ALL) or '0')
end

-- The lists that `key` names, eight at a time, from the one with `seq` on; nil: from the first, or last.
local function next_lists(key, seq, down)
    local list = seq and math.floor(seq / SPAN)
    if down then
        return redis.call('ZRANGE', key, list and number((list + 1) * COUNTS - 1) or '+inf', 0, 'BYSCORE', 'REV', 'LIMIT', 0, 8)
    end
    return redis.call('ZRANGE', key, number((list or 0) * COUNTS), '+inf', 'BYSCORE', 'LIMIT', 0, 8)
end

local function entries_of(list, down)
    local entries = redis.call('LRANGE', K.listed .. list, 0, -1)
    table.sort(entries, function(one, other) -- a rebuild lists them in any order
        if down then
            one, other = other, one
        end
        return string.byte(one) < string.byte(other)
    end)
    return entries
end

-- Calls look(seq, id, tag) for the jobs that `key` may show, from the creation number `seq` on (nil: from
-- the first, or the last), until it returns true.
local function walk(key, seq, down, look)
    repeat
        local lists = next_lists(key, seq, down)
        for _, list in ipairs(lists) do
            for _, entry in ipairs(entries_of(list, down)) do
                local at = list * SPAN + string.byte(entry)
                local wanted = not seq or (down and at <= seq) or (not down and at >= seq)
                if wanted and look(at, string.sub(entry, 4), string.sub(entry, 2, 3)) then
                    return
                end
            end
            seq = down and list * SPAN - 1 or (list + 1) * SPAN
        end
    until #lists == 0 or seq < 0
end
