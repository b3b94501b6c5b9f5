--!include base counting job labels names
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

-- Jobs that follow one another are mostly of one creator, type and list: they are counted together.
local open = {list = nil, creator = nil, type = nil, entries = nil, tag = nil, mark = 0, size = 0}

local function count_open()
    if open.size > 0 then
        count_list(K.created, open.list, open.size)
        count_list(K.creator .. open.creator, open.list, open.size)
        if open.mark == TAGGED then
            count_block(K.type .. open.type, math.floor(open.list / BLOCK), open.size)
        end
        open.size = 0
    end
end

local function open_list(list, creator, type)
    count_open()
    listed[list] = listed[list] or {}
    open.list, open.creator, open.type, open.entries = list, creator, type, listed[list]
    if has_format(2) then
        open.tag, open.mark = tag(creator) .. type_tag(type), TAGGED
    else
        open.tag, open.mark = tag(creator), 0
    end
end

local function save_order()
    count_open()
    open.list = nil
    for list, entries in pairs(listed) do
        in_batches('RPUSH', K.listed .. number(list), entries)
    end
    listed = {}
    save_counts()
    save_labels()
end
at_the_end[#at_the_end + 1] = save_order

local function enlist(seq, id, creator, type, record)
    local place = seq % SPAN
    local list = (seq - place) / SPAN
    if list ~= open.list or creator ~= open.creator or type ~= open.type then
        open_list(list, creator, type)
    end
    local entries = open.entries
    entries[#entries + 1] = string.char(place + open.mark) .. open.tag .. id
    open.size = open.size + 1
    if open.mark == TAGGED then
        add_name(id)
        mark_labels(read_labels(record), list, place, true)
    end
end

local function unlist(seq, id, creator, type, record)
    local place = seq % SPAN
    local list = (seq - place) / SPAN
    if listed[list] then
        save_order() -- it may be among those that are not there yet
    end
    local key, creator_tag = K.listed .. number(list), tag(creator)
    local entry = string.char(place + TAGGED) .. creator_tag .. type_tag(type) .. id
    if redis.call('LREM', key, 1, entry) == 1 then
        count_block(K.type .. type, math.floor(list / BLOCK), -1)
        remove_name(id)
        mark_labels(read_labels(record), list, place, false)
    else
        redis.call('LREM', key, 1, string.char(place) .. creator_tag .. id)
    end
    count_list(K.created, list, -1)
    count_list(K.creator .. creator, list, -1)
end

-- Gives an entry of format 1, the one at `index` of its list, what those of format 2 have.
local function retag(list, index, entry, type)
    local id = string.sub(entry, 4)
    local tagged = string.char(string.byte(entry) + TAGGED) .. string.sub(entry, 2, 3) .. type_tag(type) .. id
    redis.call('LSET', K.listed .. number(list), index, tagged)
    count_block(K.type .. type, math.floor(list / BLOCK), 1)
    add_name(id)
end
