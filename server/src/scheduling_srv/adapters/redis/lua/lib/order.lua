--!include base counting labels names
-- What Read shows, in order of creation: lists of SPAN creation numbers each; `created` and
-- `creator:*` say which of them hold jobs and how many, `type:*` which blocks of BLOCK lists.
-- An entry is the place in its list, tags of creator and type, and the id. Format 1 had no tag of
-- the type: such an entry counts in no `type:*`, and its id is not in `names`. TAGGED is added to
-- the place of all others (decision 31).
local SPAN, BLOCK, TAGGED = 128, 64, 128
local listed, tags, type_tags = {}, {}, {}

-- Two bytes of a creator: they spare most looks at jobs of others.
local function tag(creator)
    tags[creator] = tags[creator] or struct.pack(TAG, tonumber(string.sub(redis.sha1hex(creator), 1, 4), 16))
    return tags[creator]
end

-- One byte of a type.
local function type_tag(type)
    type_tags[type] = type_tags[type] or string.char(tonumber(string.sub(redis.sha1hex(type), 1, 2), 16))
    return type_tags[type]
end

-- Jobs that follow one another are mostly of one list, creator and type: they are counted together,
-- those that come and those that go.
local coming = {list = nil, creator = nil, type = nil, entries = nil, tag = nil, mark = 0, size = 0}
local going = {list = nil, creator = nil, type = nil, key = nil, tag = nil, mark = TAGGED, size = 0}

local function count_group(group, sign)
    if group.size > 0 then
        local change = sign * group.size
        count_list(K.created, group.list, change)
        count_list(K.creator .. group.creator, group.list, change)
        if group.mark == TAGGED then
            count_block(K.type .. group.type, math.floor(group.list / BLOCK), change)
        end
        group.size = 0
    end
end

local function begin_group(group, sign, list, creator, type)
    count_group(group, sign)
    group.list, group.creator, group.type = list, creator, type
    group.tag = group.mark == TAGGED and tag(creator) .. type_tag(type) or tag(creator)
end

local function open_list(list, creator, type)
    listed[list] = listed[list] or {}
    count_group(coming, 1)
    coming.entries, coming.mark = listed[list], has_format(2) and TAGGED or 0
    begin_group(coming, 1, list, creator, type)
end

local function save_order()
    count_group(coming, 1)
    count_group(going, -1)
    coming.list = nil
    for list, entries in pairs(listed) do
        in_batches('RPUSH', K.listed .. number(list), entries)
    end
    listed = {}
    save_counts()
    save_labels()
end
at_the_end[#at_the_end + 1] = save_order

-- `labels`: as `read_places` returns them.
local function enlist(seq, id, creator, type, labels)
    local place = seq % SPAN
    local list = (seq - place) / SPAN
    if list ~= coming.list or creator ~= coming.creator or type ~= coming.type then
        open_list(list, creator, type)
    end
    local entries = coming.entries
    entries[#entries + 1] = string.char(place + coming.mark) .. coming.tag .. id
    coming.size = coming.size + 1
    if coming.mark == TAGGED then
        add_name(id)
        if labels ~= '' then
            mark_labels(labels, list, place, true)
        end
    end
end

local function unlist(seq, id, creator, type, labels)
    local place = seq % SPAN
    local list = (seq - place) / SPAN
    if listed[list] then
        save_order() -- it may be among those that are not there yet
    end
    if list ~= going.list or creator ~= going.creator or type ~= going.type then
        begin_group(going, -1, list, creator, type)
        going.key = K.listed .. number(list)
    end
    if redis.call('LREM', going.key, 1, string.char(place + TAGGED) .. going.tag .. id) == 1 then
        going.size = going.size + 1
        remove_name(id)
        if labels ~= '' then
            mark_labels(labels, list, place, false)
        end
    else
        redis.call('LREM', going.key, 1, string.char(place) .. tag(creator) .. id)
        count_list(K.created, list, -1)
        count_list(K.creator .. creator, list, -1)
    end
end

-- Gives an entry of format 1, the one at `index` of its list, what those of format 2 have. Its job
-- has labels if a rebuild has loaded it before it noted the format.
local function retag(list, index, entry, type, labels)
    local id = string.sub(entry, 4)
    local tagged = string.char(string.byte(entry) + TAGGED) .. string.sub(entry, 2, 3) .. type_tag(type) .. id
    redis.call('LSET', K.listed .. number(list), index, tagged)
    count_block(K.type .. type, math.floor(list / BLOCK), 1)
    add_name(id)
    if labels ~= '' then
        mark_labels(labels, list, string.byte(entry), true)
    end
end
