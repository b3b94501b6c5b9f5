-- Markers: what the position record has to hold once all before it is published (decision 1).

-- Nothing before this instant is open: no unanswered run began, no unemitted occurrence was due.
local function earliest(now)
    local first = now
    local function look(key, from)
        local head
        if from then
            head = redis.call('ZRANGE', key, from, '(' .. number(from + RANK), 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
        else
            head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
        end
        if head[2] then
            first = math.min(first, tonumber(head[2]) - (from or 0))
        end
    end
    look(K.running)
    look(K.waiting)
    look(K.plan)
    for rank = 0, 4 do
        look(K.due, rank * RANK)
    end
    return first
end

local function emit_marker(now)
    local marker = {
        replay_from = number(earliest(now)),
        seq = number(meta('seq')),
        instance = number(meta('instance')),
        reset = number(meta('reset')),
        cleared = number(meta('cleared')),
    }
    local inputs = redis.call('HGETALL', K.inputs)
    if #inputs > 0 then
        marker.inputs = {}
        for i = 1, #inputs, 2 do
            marker.inputs[inputs[i]] = inputs[i + 1]
        end
    end
    emit('M' .. cjson.encode(marker))
end

