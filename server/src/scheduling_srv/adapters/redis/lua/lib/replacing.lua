--!include base definition heritage job keeping outbox pauses remove states tallies
-- What becomes of the job that has the id already.
local UNTOUCHED = {} -- instead of what is kept: the new job does not come in

local finished = {} -- ids of finished jobs that new ones may take

local function is_cleared(job)
    return job.seq <= meta('reset') or (job.seq <= meta('cleared') and is_resource(job.kind))
end

-- Whether a one-time job whose time has passed may come in: it lives, and was due then before.
local function is_still_wanted(id, old, asked, due)
    return old and not is_cleared(old) and is_same_when(id, old, read_job(asked), due)
end

-- Takes the old job out. Returns what the new one keeps of it, nil for nothing, or UNTOUCHED; its
-- heritage, and its state if its runs are counted,
-- its pause.
local function replace(mode, id, due, asked, now)
    local record = redis.call('HGET', K.jobs, id)
    if not record then
        -- Its only run has ended since that was decided (several shards).
        return is_noted(asked, ELAPSED) and UNTOUCHED or nil
    end
    local old, new, kept, created, more, state, pause = read_job(record), read_job(asked), nil, nil, nil, nil, nil
    if not is_cleared(old) and old.kind ~= ENDING then
        if mode == 'upsert' and not is_noted(asked, UPDATED) and is_identical(id, old, new, due) then
            return UNTOUCHED
        end
        kept = keep(id, old, new, due, now)
        created, more = heritage_of(record)
        state = is_counted(old) and state_of(id, old.seq) or nil
        pause = pause_of(id)
    end
    grouped = true -- what goes, and what comes in its place
    note_replaced(id, record, old)
    remove_job(id, old)
    if created and new.kind >= INTERVAL then
        keep_tally(id)
    end
    emit_deleted(id, is_resource(old.kind))
    return kept, created, more, state, pause
end
