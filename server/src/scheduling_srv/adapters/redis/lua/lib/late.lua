--!include base deadlines
-- When runs were published, if that was late: their completion timeout begins then (decision 27).
-- `meta.staged` has two marks, '<entry> <ms>': runs that follow that entry were staged then or
-- later. `late` has notes: runs that follow the entry, its score, were published then or later.
local MARK_MS = 250 -- between two marks
local LATE_MS = 1000 -- runs staged longer ago than that are late; between two notes
local FORGOTTEN = 100 -- notes that one call forgets at most

-- Runs are staged now; the run before them has the entry `before`. `marks`: those that there are.
local function mark_staging(before, now, marks)
    local newest, at = string.match(marks, '^(%d+ (%d+))')
    if not at or math.abs(now - tonumber(at)) >= MARK_MS then
        local mark = number(before) .. ' ' .. number(now)
        redis.call('HSET', K.meta, 'staged', newest and mark .. ' ' .. newest or mark)
    end
end

-- Whether runs that follow the entry `before` may have been staged long ago.
local function is_late(before, now)
    for entry, at in string.gmatch(redis.call('HGET', K.meta, 'staged') or '', '(%d+) (%d+)') do
        if tonumber(entry) <= before and math.abs(now - tonumber(at)) <= LATE_MS then
            return false
        end
    end
    return true
end

local function read_note(note)
    return tonumber(string.match(note, '%d+$'))
end

local function add_note(before, now)
    redis.call('ZADD', K.late, before, number(before) .. ' ' .. number(now))
end

-- Kafka has runs that follow the entry `before`, as is known since now.
local function note_published(before, now)
    if not is_late(before, now) then
        return
    end
    local oldest = oldest_start()
    if not oldest then
        redis.call('UNLINK', K.late)
        return
    end
    local last = redis.call('ZRANGE', K.late, -1, -1)[1]
    if last and math.abs(now - read_note(last)) < LATE_MS then
        return
    end
    add_note(before, now)
    for _, note in ipairs(redis.call('ZRANGE', K.late, 0, FORGOTTEN - 1)) do
        if read_note(note) > oldest then
            break
        end
        redis.call('ZREM', K.late, note) -- the time of every run began later
    end
end

-- The time of no run begins before now.
local function note_rebuilt(now)
    if oldest_start() then
        add_note(-1, now)
    end
end

-- The earliest instant at which the run with this entry may have been published; 0: when it was
-- staged.
local function late_since(entry)
    local note = redis.call('ZRANGE', K.late, '(' .. number(entry), '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1)[1]
    return note and read_note(note) or 0
end
