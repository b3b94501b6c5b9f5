--!include base job
-- Unique keys: within a type one job has a key (decision 30).

local taken_keys = {} -- in this call, by jobs that may not be stored yet: unique key and type -> id

-- In MORE, which begins behind this place. '': none.
local function key_in(record, at)
    local _, has_rules, labels_size, key_size = read_more(record, at)
    local from = at + MORE_SIZE + (has_rules and RULES_SIZE or 0) + labels_size
    return string.sub(record, from + 1, from + key_size)
end

-- Type and unique key of a record. '': it has none.
local function unique_key_of(record)
    local shape = shape_of(record)
    if not shape.has_more then
        return nil, ''
    end
    local _, _, _, _, type = read_places(record)
    return type, key_in(record, shape.at)
end

local void -- jobs up to this creation number are about to be swept: asked once a call

-- The living job that has the key; nil: none has. One that is void does not count.
local function holder_of_key(type, key)
    local id = redis.call('HGET', K.unique .. type, key)
    local record = id and redis.call('HGET', K.jobs, id)
    if not record then
        return nil
    end
    void = void or math.max(meta('reset'), meta('cleared'))
    return read_seq(record) > void and id or nil
end

-- The job has the key from here on, unless another one does.
local function take_key(id, record)
    local type, key = unique_key_of(record)
    if key == '' then
        return
    end
    local name = key .. '\0' .. type
    if (taken_keys[name] or holder_of_key(type, key) or id) == id then
        taken_keys[name] = id
        redis.call('HSET', K.unique .. type, key, id)
    end
end

-- Another job may have the key of one that goes.
local function give_key_back(id, record)
    local type, key = unique_key_of(record)
    if key ~= '' and redis.call('HGET', K.unique .. type, key) == id then
        redis.call('HDEL', K.unique .. type, key)
        taken_keys[key .. '\0' .. type] = nil
    end
end

-- Whether another job than this one has the key that the record asks for. `kept`: the record whose
-- key it keeps, or nil.
local function is_key_taken(id, asked, kept)
    local _, _, _, _, type = read_places(asked)
    local _, key = unique_key_of(kept or asked)
    return key ~= '' and (holder_of_key(type, key) or id) ~= id
end
