--!include base outbox
-- Backfills: at most one of a job (decision 30). JSON of the creation number of the job, `next` and
-- `until` (nominal ms), `limit` (runs in flight), and how many runs were added and have ended.
local any_backfill -- asked once a call

local function is_any_backfill()
    if any_backfill == nil then
        any_backfill = redis.call('EXISTS', K.backfills) == 1
    end
    return any_backfill
end

-- The backfill of this generation of a job; nil: there is none.
local function backfill_of(id, seq)
    local text = is_any_backfill() and redis.call('HGET', K.backfills, id)
    local found = text and cjson.decode(text)
    return found and tonumber(found.seq) == seq and found or nil
end

local function pack_backfill(backfill)
    return '{"seq":' .. number(backfill.seq) .. ',"next":' .. number(backfill.next) .. ',"until":' .. number(backfill['until'])
        .. ',"limit":' .. number(backfill.limit) .. ',"added":' .. number(backfill.added)
        .. ',"ended":' .. number(backfill.ended) .. '}'
end

-- `is_new`: the journal has to know of it.
local function save_backfill(id, backfill, is_new)
    local text, key = pack_backfill(backfill), id .. BACKFILL_KEY
    redis.call('HSET', K.backfills, id, text)
    any_backfill = true
    if is_new then
        emit(struct.pack(KEYED, FILLING, #key) .. key .. text)
    end
end

local function end_backfill(id)
    if is_any_backfill() and redis.call('HDEL', K.backfills, id) == 1 then
        emit(TOMBSTONE .. id .. BACKFILL_KEY)
        any_backfill = nil
    end
end

-- One of its runs that had ended is tried again.
local function note_reopened(id, seq)
    local backfill = backfill_of(id, seq)
    if backfill then
        backfill.ended = math.max(0, backfill.ended - 1)
        save_backfill(id, backfill, false)
    end
end

-- One of its runs has ended: the owner may add another one.
local function note_backfilled(id, seq)
    local backfill = backfill_of(id, seq)
    if backfill then
        backfill.ended = backfill.ended + 1
        save_backfill(id, backfill, false)
        redis.call('PUBLISH', K.wake, 'backfill')
    end
end
