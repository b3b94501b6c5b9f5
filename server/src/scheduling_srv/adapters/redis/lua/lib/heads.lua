-- Sorted sets that are read from their heads.
local PIECE = 100

-- The members of a sorted set from one index to another, read some at a time.
local function head_of(key, at, stop)
    local piece, i, head = {}, 1, {}
    function head.next()
        i = i + 2
        if not piece[i] and at < stop then
            piece, i = redis.call('ZRANGE', key, at, math.min(at + PIECE, stop) - 1, 'WITHSCORES'), 1
            at = at + #piece / 2
        end
        head.text, head.score = piece[i], tonumber(piece[i + 1])
        return head
    end
    return head.next()
end
