--!include base job outbox pauses telling within
--!args note kind within names...
-- Pauses jobs or types: nothing of them is staged from here on, but for runs by hand.
-- `note`: JSON of an object, as it is kept. `kind`: 'job' or 'type'; `names`: ids or types.
-- `within`: see `within.lua`; it concerns jobs only.
-- Returns: 'ok' | 'not ready' | 'old' (the store has an earlier format) | 'many' (rules for types),
--          last entry, lineage, names that there are, names that were not paused before
if not is_ready() then
    return {'not ready'}
end
if not has_format(2) then
    return {'old'}
end
local MOST_TYPES = 1000
local size = #args - names_at + 1
if kind == 'type' and redis.call('HLEN', K.paused_types) + size > MOST_TYPES then
    return {'many'}
end
local matched, changed = 0, 0
local limits = limits_in(within)
local dated = '{"seq":' .. number(meta('seq')) .. ',' .. string.sub(note, 2)
for i = names_at, #args do
    local record = kind == 'job' and redis.call('HGET', K.jobs, args[i])
    local is_there = kind == 'type' or (record and is_resource((read_places(record))) and is_within(limits, record))
    if is_there then
        local is_new = (kind == 'type' and pause_type or pause_job)(args[i], dated)
        matched, changed = matched + 1, changed + (is_new and 1 or 0)
        if is_new then
            tell_paused(record and args[i] or '', record and read_job(record).type or args[i], dated)
        end
    end
end
return {'ok', flush(), lineage(), matched, changed}
