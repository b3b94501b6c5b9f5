--!include base job member limits outbox order remove writing putting
-- Restores jobs without announcing them. What is there with the same definition, or is newer, is left
-- alone; so is what was removed since the restore began, and a one-time job whose time has passed.
-- ARGV: token, number of the restore, now, newest seq that may be replaced, token of the claims or '',
--       number of ids to remove, those ids, then for each job: id, due ms, record
-- Returns: 'ok' | 'lost' | 'void' (a reset, or a delete of everything, came after it) | 'unclaimed'
if not owns(ARGV[1]) then
    return 'lost'
end
if tonumber(ARGV[2]) <= meta('restores_void') then
    return 'void'
end
local now, last, removed = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6])
for i = 7 + removed, ARGV[5] ~= '' and #ARGV or 0, 3 do
    if redis.call('GET', K.claim .. ARGV[i]) ~= ARGV[5] then
        return 'unclaimed'
    end
end
for i = 7, 6 + removed do
    local job = find(ARGV[i])
    if job and job.kind ~= NOW and job.seq <= last then
        remove_job(ARGV[i], job)
        emit_deleted(ARGV[i], false)
    end
end

local function is_wanted(id, due, record)
    local old = redis.call('HGET', K.jobs, id)
    if old then
        return read_seq(old) <= last and definition(old) ~= definition(record), old
    end
    local passed = read_places(record) == ONCE and tonumber(due) <= now
    return not passed and redis.call('SISMEMBER', K.removed, id) == 0
end

local first
for i = 7 + removed, #ARGV, 3 do
    local wanted, old = is_wanted(ARGV[i], ARGV[i + 1], ARGV[i + 2])
    if wanted then
        if old then
            remove_job(ARGV[i], read_job(old))
        end
        local due = put('silent', i, 1)
        first = math.min(first or due, due)
    end
end
flush(first)
return 'ok'
