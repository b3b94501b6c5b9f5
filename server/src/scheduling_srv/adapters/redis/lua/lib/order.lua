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
        local empty, name = list * COUNTS, number(list)
        local score = tonumber(redis.call('ZSCORE', key, name) or empty) + change
        if score == empty then
            redis.call('ZREM', key, name)
        else
            redis.call('ZADD', key, number(score), name)
        end
        total = total + change
    end
    if tonumber(redis.call('ZINCRBY', key, -total, ALL)) == 0 then
        redis.call('ZREM', key, ALL)
    end
end

-- Jobs that follow one another are mostly of one creator and one list: they are counted together.
local open = {list = nil, creator = nil, entries = nil, tag = nil, size = 0}

local function count_open()
    if open.size > 0 then
        count_in(K.created, open.list, open.size)
        count_in(K.creator .. open.creator, open.list, open.size)
        open.size = 0
    end
end

local function open_list(list, creator)
    count_open()
    listed[list] = listed[list] or {}
    open.list, open.creator, open.entries, open.tag = list, creator, listed[list], tag(creator)
end

local function save_order()
    count_open()
    open.list = nil
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
    local place = seq % SPAN
    local list = (seq - place) / SPAN
    if list ~= open.list or creator ~= open.creator then
        open_list(list, creator)
    end
    local entries = open.entries
    entries[#entries + 1] = string.char(place) .. open.tag .. id
    open.size = open.size + 1
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
