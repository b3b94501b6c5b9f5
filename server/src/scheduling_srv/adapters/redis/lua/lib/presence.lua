-- Whether a replica is connected: it listens to a channel of its own as long as it lives.
local function is_here(token)
    local channel = K.here .. string.match(token, '(.*):%d+$')
    local found = redis.pcall('PUBSUB', 'NUMSUB', channel) -- where that is not allowed, nobody is missed
    return found.err ~= nil or tonumber(found[2]) > 0
end
