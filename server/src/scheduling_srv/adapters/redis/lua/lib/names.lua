--!include base
-- Ids that callers gave, so that those with a prefix are found: `named:*` are sorted sets of some of
-- them, all of score 0, which Redis keeps as one text each; `names` has the lower bound of each, the
-- first of which is ''. Redis compares bytes; Lua compares as the locale of the server wants it.
local MOST_NAMED = 128 -- the most that Redis keeps as one text (`zset-max-listpack-entries`)

local finds = string.find
local are_made = false -- whether the service has made the ids that come now

local function note_made(made)
    are_made = made
end

local any_named -- whether `names` holds anything: asked once a call

-- Whether an id looks as those do that the service makes: sixteen random letters and digits, or
-- derived from the id of a request. No prefix of them means anything, so they are not in `names`.
local function is_made(id)
    if #id ~= 16 then
        return string.byte(id) == 126 -- ~
    end
    return (finds(id, '%u%u') or (finds(id, '%d%a') and finds(id, '%u'))) and finds(id, '%l') and not finds(id, '%W')
        or string.byte(id) == 126
end

-- The bound of the bucket that holds the id, or would hold it.
local function bound_of(id)
    return redis.call('ZRANGE', K.names, '[' .. id, '-', 'BYLEX', 'REV', 'LIMIT', 0, 1)[1]
end

-- In the middle, or before its last id if that is the newest one: ids that grow fill their buckets.
local function split_bucket(bound, newest)
    local key = K.named .. bound
    local ids = redis.call('ZRANGE', key, 0, -1)
    local first = ids[#ids] == newest and #ids or math.floor(#ids / 2) + 1
    local moved = {}
    for i = first, #ids do
        push(moved, 0, ids[i])
    end
    redis.call('ZREM', key, unpack(ids, first))
    redis.call('ZADD', K.named .. ids[first], unpack(moved))
    redis.call('ZADD', K.names, 0, ids[first])
end

local function add_name(id)
    if are_made or is_made(id) then
        return
    end
    any_named = true
    local bound = bound_of(id)
    if not bound then
        bound = ''
        redis.call('ZADD', K.names, 0, bound)
    end
    local key = K.named .. bound
    redis.call('ZADD', key, 0, id)
    if redis.call('ZCARD', key) >= MOST_NAMED then
        split_bucket(bound, id)
    end
end

local function remove_name(id)
    if any_named == nil then
        any_named = redis.call('EXISTS', K.names) == 1
    end
    if not any_named or is_made(id) then
        return
    end
    local bound = bound_of(id)
    local key = bound and K.named .. bound
    if key and redis.call('ZREM', key, id) == 1 and redis.call('EXISTS', key) == 0 then
        redis.call('ZREM', K.names, bound)
    end
end
