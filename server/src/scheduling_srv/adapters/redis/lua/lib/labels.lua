--!include base counting
-- Jobs by their labels, each of them a text 'key=value': `labels:*` says which lists of creation
-- numbers hold jobs with it, and how many, `label:*` which of their numbers these are, as bits.
local NO_BITS = string.rep('\0', 16) -- a list has 128 numbers
local marked = {} -- label -> list -> place -> whether a job with it is there

local function mark_labels(labels, list, place, is_there)
    for label in string.gmatch(labels, '[^\n]+') do
        local lists = marked[label] or {}
        local places = lists[list] or {}
        marked[label], lists[list], places[place] = lists, places, is_there
        count_list(K.labels .. label, list, is_there and 1 or -1)
    end
end

local function has_bit(bits, place)
    local byte = string.byte(bits, math.floor(place / 8) + 1)
    return math.floor(byte / 2 ^ (place % 8)) % 2 == 1
end

local function change_bits(bits, places)
    local bytes = {string.byte(bits, 1, -1)}
    for place, is_there in pairs(places) do
        if is_there ~= has_bit(bits, place) then
            local at = math.floor(place / 8) + 1
            bytes[at] = bytes[at] + (is_there and 1 or -1) * 2 ^ (place % 8)
        end
    end
    return string.char(unpack(bytes))
end

local function save_labels()
    for label, lists in pairs(marked) do
        for list, places in pairs(lists) do
            local key, name = K.label .. label, number(list)
            local bits = change_bits(redis.call('HGET', key, name) or NO_BITS, places)
            if bits == NO_BITS then
                redis.call('HDEL', key, name)
            else
                redis.call('HSET', key, name, bits)
            end
        end
    end
    marked = {}
end

-- The bits of a list for some labels; each may be false: none of its jobs has the label.
local function bits_of(labels, list)
    local found = {}
    for n, label in ipairs(labels) do
        found[n] = redis.call('HGET', K.label .. label, list)
    end
    return found
end
