-- Groups of jobs in ARGV: id, due ms, record for each.
local function find(id)
    local record = redis.call('HGET', K.jobs, id)
    return record and read_job(record)
end

local function check(mode, at, size)
    for place = 1, mode == 'upsert' and 0 or size do
        local id = ARGV[at + 3 * (place - 1)]
        if mode == 'create' then
            if redis.call('HEXISTS', K.jobs, id) == 1 then
                return 'exists', place
            end
        else
            local job = find(id)
            if not job or job.kind == NOW then
                return 'missing', place
            end
        end
    end
end

local function replace(id)
    local job = find(id)
    if job then
        grouped = true -- what goes, and what comes in its place
        remove_job(id, job)
        emit_deleted(id, job.kind ~= NOW)
    end
end
