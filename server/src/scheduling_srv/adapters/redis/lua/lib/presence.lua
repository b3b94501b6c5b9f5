-- The name of a replica, in its token.
local function owner_of(token)
    return string.match(token, '(.*):%d+$')
end

-- Whether a replica is connected: it listens to a channel of its own as long as it lives.
local function is_here(token)
    local channel = K.here .. owner_of(token)
    local found = redis.pcall('PUBSUB', 'NUMSUB', channel) -- where that is not allowed, nobody is missed
    return found.err ~= nil or tonumber(found[2]) > 0
end

-- The names behind channels that begin so; nil: Redis does not tell.
local function names_behind(start)
    local found, names = redis.pcall('PUBSUB', 'CHANNELS', (string.gsub(start, '[%*%?%[%]%^\\]', '\\%0')) .. '*'), {}
    if found.err then
        return nil
    end
    for i, channel in ipairs(found) do
        names[i] = string.sub(channel, #start + 1)
    end
    return names
end

-- The name of a connected replica that does not read this format; false: all do, nil: Redis does not
-- tell. Those of a version before format 2 say nothing about that. `token`: of the owner that asks. Where
-- not even its own channel is seen, others may be hidden as well.
local function older_replica(format, token)
    local here, reads, reader, is_seen = names_behind(K.here), names_behind(K.reads), {}, false
    if not here or not reads then
        return nil
    end
    for _, text in ipairs(reads) do
        local newest, name = string.match(text, '^(%d+):(.*)$')
        reader[name] = tonumber(newest) >= format
    end
    for _, name in ipairs(here) do
        if not reader[name] then
            return name
        end
        is_seen = is_seen or name == owner_of(token)
    end
    if not is_seen then
        return nil
    end
    return false
end
