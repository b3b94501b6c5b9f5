--!include base outbox
-- Long lists, applied in pieces under a marker (decision 10). `list:<token>` is a hash: `state`
-- ('open', 'decided' or 'dropped'), `until` (ms from which on anybody may drop an open one),
-- `clears` (what was void when it was begun), `seq` (creation number of its decision), `next` and
-- `last` (numbers of pieces), and the pieces by their numbers.

local function clock()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function clears()
    return number(meta('reset')) .. ' ' .. number(meta('cleared'))
end

local function read_list(token)
    local found = redis.call('HMGET', K.list .. token, 'state', 'until', 'clears', 'seq', 'next', 'last')
    return {state = found[1] or 'gone', lasts = tonumber(found[2] or '0'), clears = found[3],
        seq = tonumber(found[4] or '0'), next = tonumber(found[5] or '1'), last = tonumber(found[6] or '0')}
end

-- The key of a piece in the journal; piece 0 is the decision.
local function journal_key(token, piece)
    return LIST_KEY .. token .. '\0' .. number(piece)
end

local function emit_piece(token, piece, value)
    local key = journal_key(token, piece)
    emit(struct.pack(KEYED, LISTED, #key) .. key .. value)
end

-- The jobs in the arguments as a piece of a list with this mode ('delete': only their ids count).
local function pack_piece(mode, at, size)
    local parts = {mode .. '\n'}
    for i = at, at + JOB_ROW * size - 1, JOB_ROW do
        local id, due, record = job_row(i)
        push(parts, struct.pack(PIECE_JOB, #id, due, #record), id)
        parts[#parts + 1] = record
    end
    return table.concat(parts)
end

-- Calls see(id, due, record) for each job of a piece; returns its mode.
local function each_job_of(value, see)
    local mode, at = string.match(value, '^(%l+)\n()')
    while at and at <= #value do
        local id_size, due, record_size, id_at = struct.unpack(PIECE_JOB, value, at)
        local record_at = id_at + id_size
        at = record_at + record_size
        see(string.sub(value, id_at, record_at - 1), due, string.sub(value, record_at, at - 1))
    end
    return mode
end

-- Lets others change the job again.
local function unmark(token, id)
    if redis.call('HGET', K.moving, id) == token then
        redis.call('HDEL', K.moving, id)
    end
end

-- Forgets the next piece, and with the last one the list.
local function end_piece(token, list)
    redis.call('HDEL', K.list .. token, number(list.next))
    emit(TOMBSTONE .. journal_key(token, list.next))
    if list.next < list.last then
        redis.call('HSET', K.list .. token, 'next', number(list.next + 1))
        return
    end
    emit(TOMBSTONE .. journal_key(token, 0))
    redis.call('DEL', K.list .. token)
    redis.call('SREM', K.lists, token)
end
