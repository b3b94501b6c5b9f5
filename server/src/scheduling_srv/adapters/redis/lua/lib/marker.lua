--!include base outbox ranks
-- Markers: what the position record has to hold once all before it is published (decision 1).

-- Nothing before this instant is open: no unanswered run was staged, no unemitted occurrence was
-- due. Runs whose time has begun again were staged at `first_staged` or later, and their time began
-- at `last_begun` or earlier.
local function earliest(now, first_staged, last_begun)
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
    look(K.started)
    if first_staged and first <= tonumber(last_begun) then
        first = math.min(first, tonumber(first_staged))
    end
    look(K.waiting)
    look(K.plan)
    local lowest, highest = ranks()
    for rank = lowest, highest do
        look(K.due, rank * RANK)
    end
    return first
end

-- `moved`: names and positions of the partitions that have moved since the last marker; `gone`:
-- names of those that there are no more.
local function emit_marker(now, moved, gone)
    local found = redis.call('HMGET', K.meta, 'seq', 'instance', 'reset', 'cleared', 'first_staged', 'last_begun')
    local marker = {
        replay_from = number(earliest(now, found[5], found[6])),
        seq = number(found[1] or 0),
        instance = number(found[2] or 0),
        reset = number(found[3] or 0),
        cleared = number(found[4] or 0),
        gone = gone,
    }
    if moved and #moved > 0 then
        marker.inputs = {}
        for i = 1, #moved, 2 do
            local offset, rest = string.match(moved[i + 1], '^(%d+)(.*)$')
            marker.inputs[moved[i]] = offset
            if rest ~= '' then
                marker.origins = marker.origins or {}
                marker.origins[moved[i]] = moved[i + 1]
            end
        end
    end
    emit(MARK .. cjson.encode(marker))
end

local NAMED_AT_ONCE = 500 -- partitions of one marker

-- Says all positions, for whoever knows none of them.
local function emit_all_inputs(now)
    local inputs, moved = redis.call('HGETALL', K.inputs), {}
    for i = 1, #inputs, 2 do
        local origin = redis.call('HGET', K.origins, inputs[i])
        local known = origin and string.match(origin, '^%d+') == inputs[i + 1]
        push(moved, inputs[i], known and origin or inputs[i + 1])
        if #moved == 2 * NAMED_AT_ONCE then
            emit_marker(now, moved)
            moved = {}
        end
    end
    emit_marker(now, moved)
end
