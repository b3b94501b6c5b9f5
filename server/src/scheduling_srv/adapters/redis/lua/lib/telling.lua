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

-- Occurrences were 'SKIPPED' or 'MISSED': so many, the last of them at `nominal`.
local function tell_passed(kind, id, type, seq, nominal, count, why)
    tell(kind, id, type, ',"seq":' .. number(seq) .. ',"nominal":' .. number(nominal) .. ',"count":' .. number(count)
        .. ',"reason":"' .. why .. '"')
end
