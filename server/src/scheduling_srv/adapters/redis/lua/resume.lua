--!include base intervals job outbox pauses telling within
--!args now:int kind within names...
-- Ends pauses of jobs or types. Their resting runs go back piece by piece, as the owner stages.
-- `kind`: 'job' or 'type'; `names`: ids or types. `within`: see `within.lua`; it concerns jobs only.
-- Returns: 'ok' | 'not ready', last entry, lineage, names that there are, names that were paused
if not is_ready() then
    return {'not ready'}
end
local matched, changed, ended = 0, 0, {}
local limits = limits_in(within)
for i = names_at, #args do
    local name = args[i]
    local record = kind == 'job' and redis.call('HGET', K.jobs, name)
    if kind == 'type' or (record and is_within(limits, record)) then
        matched = matched + 1
        local note = redis.call('HGET', kind == 'type' and K.paused_types or K.paused, name)
        ended[#ended + 1] = note and pause_text(kind == 'type', name, note, now) or nil
        if kind == 'type' and unpause_type(name) then
            resume_type(name)
            tell_resumed('', name, now)
            changed = changed + 1
        elseif kind == 'job' and unpause_job(name) then
            resume_job(read_seq(record), name)
            tell_resumed(name, read_job(record).type, now)
            changed = changed + 1
        end
    end
end
log_all(K.pauses, ended)
return {'ok', flush(changed > 0 and now or nil), lineage(), matched, changed}
