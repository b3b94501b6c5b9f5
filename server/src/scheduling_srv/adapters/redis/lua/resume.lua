--!include base due intervals job outbox pauses resting telling within
--!args now:int kind within names...
-- Ends pauses of jobs or types. Occurrences that have passed in them are settled here for jobs, and
-- noted for types (`waking`). Resting runs go back piece by piece, as the owner stages.
-- `kind`: 'job' or 'type'; `names`: ids or types. `within`: see `within.lua`; it concerns jobs only.
-- Returns: 'ok' | 'not ready', last entry, lineage, names that there are, names that were paused, and
--          how many names are done: not all when half of BUDGET was read, as it may be written as well
if not is_ready() then
    return {'not ready'}
end
local matched, changed, bytes, ended = 0, 0, 0, {}
local limits = limits_in(within)
now = math.max(now, meta('watermark')) -- by the clock of the owner, occurrences rest until then

local function end_type_pause(type)
    local note = redis.call('HGET', K.paused_types, type)
    matched = matched + 1
    if note then
        unpause_type(type, note, now, is_behind(now))
        ended[#ended + 1] = pause_text(true, type, note, now)
        resume_type(type)
        tell_resumed('', type, now)
        changed = changed + 1
    end
end

local function end_job_pause(id)
    local record = redis.call('HGET', K.jobs, id)
    if not record or not is_within(limits, record) then
        return
    end
    local note = redis.call('HGET', K.paused, id)
    matched, bytes = matched + 1, bytes + #record
    if unpause_job(id) then
        local job = read_job(record)
        ended[#ended + 1] = pause_text(false, id, note, now)
        wake_job(id, record, job, cjson.decode(note).since or 0, now)
        tell_resumed(id, job.type, now)
        changed = changed + 1
    end
end

local end_pause, done = kind == 'type' and end_type_pause or end_job_pause, 0
while names_at + done <= #args and bytes < BUDGET / 2 do
    end_pause(args[names_at + done])
    done = done + 1
end
log_all(K.pauses, ended)
return {'ok', flush(changed > 0 and now or nil), lineage(), matched, changed, done}
