--!include base job member limits outbox order remove definition keeping replacing writing putting moving
-- Restores jobs without announcing them. What is there with the same definition, or is newer, is left
-- alone; so is what was removed since the restore began, and a one-time job whose time has passed.
-- ARGV: token, number of the restore, now, newest seq that may be replaced, token of the claims or '',
--       number of ids to remove, those ids, then for each job: id, due ms, record; no id stands twice
-- Returns: {'ok', ids, jobs}: how many of each it has come to, as what lives may be too much to read in one
--          call | lost() | 'void' (a reset, or a delete of everything, came after it) | 'unclaimed'
if not owns(ARGV[1]) then
    return lost()
end
if tonumber(ARGV[2]) <= meta('restores_void') then
    return 'void'
end
local now, last, jobs_at = tonumber(ARGV[3]), tonumber(ARGV[4]), 7 + tonumber(ARGV[6])
for i = jobs_at, ARGV[5] ~= '' and #ARGV or 0, 3 do
    if redis.call('GET', K.claim .. ARGV[i]) ~= ARGV[5] then
        return 'unclaimed'
    end
end
if find_moving(jobs_at, (#ARGV - jobs_at + 1) / 3, 3) or find_moving(7, jobs_at - 7, 1) then
    return 'unclaimed'
end
local living, removed_end, jobs_end = 0, jobs_at - 1, #ARGV
local function is_too_much(id)
    local before = living
    living = living + redis.call('HSTRLEN', K.jobs, id)
    return before > 0 and living > REPLACED_BYTES
end
for i = 7, jobs_at - 1 do
    if is_too_much(ARGV[i]) then
        removed_end, jobs_end = i - 1, jobs_at - 1
        break
    end
    local job = find(ARGV[i])
    if job and job.kind ~= NOW and job.seq <= last then
        remove_job(ARGV[i], job)
        emit_deleted(ARGV[i], false)
    end
end
for i = jobs_at, jobs_end, 3 do
    if is_too_much(ARGV[i]) then
        jobs_end = i - 1
        break
    end
end

local any_removed = redis.call('EXISTS', K.removed) == 1
local function is_wanted(old, id, due, record)
    if old then
        return read_seq(old) <= last and not is_identical(id, read_job(old), read_job(record), tonumber(due))
    end
    local passed = tonumber(due) <= now and read_places(record) == ONCE
    return not passed and not (any_removed and redis.call('SISMEMBER', K.removed, id) == 1)
end

local first, size = nil, 0 -- those that are wanted are put in as many at once as stand together
local function put_before(at)
    if size > 0 then
        local due = put('silent', at - 3 * size, size, now)
        first, size = math.min(first or due, due), 0
    end
end
local jobs = (jobs_end - jobs_at + 1) / 3
look_up(jobs_at, jobs, function(place, old)
    local at = jobs_at + 3 * (place - 1)
    if not is_wanted(old, ARGV[at], ARGV[at + 1], ARGV[at + 2]) then
        put_before(at)
        return
    end
    if old then
        remove_job(ARGV[at], read_job(old))
    end
    size = size + 1
end)
put_before(jobs_end + 1)
flush(first)
return {'ok', removed_end - 6, jobs}
