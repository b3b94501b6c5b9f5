--!include base outbox
-- Events that have no record of their own: they go to the topic of events, for watchers (decision
-- 31). They come with format 2.

local EVENT_KINDS = {['timed-out'] = 'TIMED_OUT', cancelled = 'CANCELLED'}

-- `more`: further members of the JSON object, each with a comma in front.
local function tell(kind, id, type, more)
    if not has_format(2) then
        return
    end
    local key = id ~= '' and id or type
    local headers = '[["kind","' .. kind .. '"],["job-id",' .. quoted(id) .. '],["type",' .. quoted(type) .. ']]'
    local value = '{"kind":"' .. kind .. '","job":' .. quoted(id) .. ',"type":' .. quoted(type) .. more .. '}'
    emit(struct.pack(EVENT, HAPPENED, EVENTS, #key, #headers) .. key .. headers .. value)
end

-- A job, or a type if `id` is '', was paused. `note`: JSON of an object.
local function tell_paused(id, type, note)
    tell('PAUSED', id, type, ',"pause":' .. note)
end

local function tell_resumed(id, type, now)
    tell('RESUMED', id, type, ',"at":' .. number(now))
end

-- A run has failed for good. `outcome`: 'failed', 'timed-out' or 'cancelled'.
local function tell_failed(outcome, id, type, seq, nominal, attempt, instance, problem)
    tell(EVENT_KINDS[outcome] or 'FINALLY_FAILED', id, type, ',"seq":' .. number(seq) .. ',"nominal":' .. number(nominal) .. ',"attempt":' .. number(attempt)
        .. ',"instance":' .. instance .. (problem ~= '' and ',"reason":' .. cjson.encode(problem) or ''))
end

local TOLD_MS = 1000 -- between two events about occurrences of a job that have passed
local WITHHELD_MS = 10000 -- so long are those remembered that no event has told of

-- Occurrences of a job have passed without a run: a row of the history. Those that follow within a
-- second count with the next event.
local function tell_passed(run)
    local kind = run.outcome == RAN_MISSED and 'MISSED' or 'SKIPPED'
    local key = K.told .. kind .. ':' .. run.id
    local found, at, withheld = redis.call('GET', key), nil, 0
    if found then
        at, withheld = struct.unpack(TOLD, found)
    end
    withheld = withheld + run.number
    if not at or math.abs(run.ended - at) >= TOLD_MS then
        tell(kind, run.id, run.type, ',"seq":' .. number(run.seq) .. ',"nominal":' .. number(run.nominal)
            .. ',"count":' .. number(withheld) .. ',"reason":"' .. run.problem .. '"')
        at, withheld = run.ended, 0
    end
    redis.call('SET', key, struct.pack(TOLD, at, withheld), 'PX', WITHHELD_MS)
end
