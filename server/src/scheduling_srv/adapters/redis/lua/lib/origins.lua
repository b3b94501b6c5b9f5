-- Origins of runs, as they stand in ids, keys and members.
local FIRST_KINDS = {[SCHEDULE] = KEPT, [BY_HAND] = MANUAL, [BACKFILLED] = BACKFILL}
local ORIGIN_MARKS = {[SCHEDULE] = '', [BY_HAND] = 'm', [BACKFILLED] = 'b'}

-- What stands behind the nominal time of a run in its id. `origin`: nil for the schedule.
local function mark_of(origin)
    return ORIGIN_MARKS[origin or SCHEDULE]
end
