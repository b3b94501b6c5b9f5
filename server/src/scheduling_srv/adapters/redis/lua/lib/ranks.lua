--!include base
-- The lowest and the highest rank that `due` holds; mostly there is one. None: 0 and -1.
local function ranks()
    local lowest = redis.call('ZRANGE', K.due, 0, 0, 'WITHSCORES')[2]
    if not lowest then
        return 0, -1
    end
    local highest = redis.call('ZRANGE', K.due, -1, -1, 'WITHSCORES')[2]
    return math.floor(lowest / RANK), math.floor(highest / RANK)
end
