--!include base definition job moving outbox pauses putting remove writing
--!args token restore:int now:int last:int claims removals:int ids...
-- Restores jobs without announcing them. What is there with the same definition, or is newer, is
-- left alone; so is what was removed since the restore began, and a one-time job whose time has
-- passed.
-- `restore`: its number. `last`: newest seq that may be replaced. `claims`: token of the claims, or
-- ''.
-- `removals`: how many ids are to be removed; the jobs follow them. No id stands twice.
-- Returns: {'ok', ids, jobs}: how many of each it has come to, as what lives may be too much to
--          read in one call | lost() | 'void' (a reset, or a delete of everything, came after it) |
--          'unclaimed'
if not owns(token) then
    return lost()
end
if restore <= meta('restores_void') then
    return 'void'
end
local jobs_at = ids_at + removals
for i = jobs_at, claims ~= '' and #args or 0, JOB_ROW do
    if redis.call('GET', K.claim .. args[i]) ~= claims then
        return 'unclaimed'
    end
end
local size_of_jobs = (#args - jobs_at + 1) / JOB_ROW
if find_moving(jobs_at, size_of_jobs, JOB_ROW) or find_moving(ids_at, removals, 1) then
    return 'unclaimed'
end
local living, removed_end, jobs_end = 0, jobs_at - 1, #args
local function is_too_much(id)
    local before = living
    living = living + redis.call('HSTRLEN', K.jobs, id)
    return before > 0 and living > REPLACED_BYTES
end
for i = ids_at, jobs_at - 1 do
    if is_too_much(args[i]) then
        removed_end, jobs_end = i - 1, jobs_at - 1
        break
    end
    local job = find(args[i])
    if job and is_resource(job.kind) and job.seq <= last then
        remove_job(args[i], job)
        emit_deleted(args[i], false)
    end
end
for i = jobs_at, jobs_end, JOB_ROW do
    if is_too_much(args[i]) then
        jobs_end = i - 1
        break
    end
end

local any_removed = redis.call('EXISTS', K.removed) == 1
local function is_wanted(old, id, due, record)
    if old and read_seq(old) > last then
        return false
    elseif old and read_places(old) ~= ENDING then
        return not is_identical(id, read_job(old), read_job(record), due)
    end
    local passed = due <= now and read_places(record) == ONCE
    return not passed and not (any_removed and redis.call('SISMEMBER', K.removed, id) == 1)
end

local pauses = {} -- id -> pause of a job that is replaced

local first, size = nil, 0 -- those that are wanted are put in as many at once as stand together
local function put_before(at)
    if size > 0 then
        local due = put('silent', at - JOB_ROW * size, size, now)
        first, size = math.min(first or due, due), 0
    end
end
local jobs = (jobs_end - jobs_at + 1) / JOB_ROW
look_up(jobs_at, jobs, function(place, old)
    local at = jobs_at + JOB_ROW * (place - 1)
    local id, due, record = job_row(at)
    if not is_wanted(old, id, due, record) then
        put_before(at)
        return
    end
    if old then
        pauses[id] = read_places(old) ~= ENDING and pause_of(id) or nil
        remove_job(id, read_job(old))
    end
    size = size + 1
end)
put_before(jobs_end + 1)
for id, pause in pairs(pauses) do
    pause_job(id, pause)
end
flush(first)
return {'ok', removed_end - ids_at + 1, jobs}
