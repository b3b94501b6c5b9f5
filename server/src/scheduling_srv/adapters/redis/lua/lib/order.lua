--!include base
-- What Read shows, in order of creation: lists of SPAN creation numbers each; `created` and
-- `creator:*` say which of them hold jobs and how many.
local SPAN, COUNTS = 128, 256 -- scores are list * COUNTS + jobs in it
local ALL = 'all' -- the member that counts them all; its score is below zero
local listed, counted, tags = {}, {}, {}

-- Two bytes of a creator: they spare most looks at jobs of others.
local function tag(creator)
    tags[creator] = tags[creator] or struct.pack(TAG, tonumber(string.sub(redis.sha1hex(creator), 1, 4), 16))
    return tags[creator]
end

local function count_in(key, list, change)
    local lists = counted[key] or {}
    counted[key], lists[list] = lists, (lists[list] or 0) + change
end

local function save_counts(key, changes)
    local total = 0
    for list, change in pairs(changes) do
        local empty = list * COUNTS
        redis.call('ZADD', key, number(tonumber(redis.call('ZSCORE', key, number(list)) or empty) + change), number(list))
        redis.call('ZREMRANGEBYSCORE', key, number(empty), number(empty))
        total = total + change
    end
    redis.call('ZINCRBY', key, -total, ALL)
    redis.call('ZREMRANGEBYSCORE', key, 0, 0)
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
