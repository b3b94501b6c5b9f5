--!include definition job replacing unique
-- Groups of jobs in the arguments: `at` is the place of the first one.
local LOOKED_UP = 50 -- ids that are looked up in one call: whole records come back if they are there

local function find(id)
    local record = redis.call('HGET', K.jobs, id)
    return record and read_job(record)
end

-- Calls `see(place, record or false)` for each of `size` jobs, until it returns something: returns
-- that.
local function look_up(at, size, see)
    local ids = {}
    for place = 1, size do
        ids[place] = args[at + JOB_ROW * (place - 1)]
    end
    for first = 1, size, LOOKED_UP do
        local found = redis.call('HMGET', K.jobs, unpack(ids, first, math.min(first + LOOKED_UP - 1, size)))
        for i, record in ipairs(found) do
            local result = see(first + i - 1, record)
            if result then
                return result
            end
        end
    end
end

-- The place of the first of `size` jobs that is there already.
local function find_existing(at, size)
    return look_up(at, size, function(place, record)
        if record and read_places(record) == ENDING then
            finished[args[at + JOB_ROW * (place - 1)]] = true
            return nil
        end
        return record and place
    end)
end

-- Whether an Update of scheduling.v1 has read another revision of the job than the present one, or
-- another job: revisions begin anew with each. `seq`: of the job that it has read; nil or 0: any.
local function is_stale(asked, job, seq)
    if seq and seq > 0 and seq ~= job.seq then
        return true
    end
    local shape = shape_of(asked)
    if not shape.has_more then
        return false
    end
    local _, wanted = struct.unpack(MORE, asked, shape.at + 1)
    local revision = 1
    if job.more_size > 0 then
        _, revision = struct.unpack(MORE, job.record, job.at - job.more_size + 1)
    end
    return wanted > 0 and wanted ~= revision
end

-- The place of the first of `size` jobs whose unique key another job has.
local function find_taken(at, size)
    for place = 1, size do
        local id, _, asked = job_row(at + JOB_ROW * (place - 1))
        if shape_of(asked).has_more and is_key_taken(id, asked) then
            return place
        end
    end
end

-- The same for an Update, which keeps the key unless it says otherwise.
local function is_taken_from(id, job, asked)
    if keeps_more(asked) then
        return job.more_size > 0 and is_key_taken(id, asked, job.record)
    end
    return shape_of(asked).has_more and is_key_taken(id, asked)
end

-- Why the `size` jobs may not be written, and the place of the one that is the reason. Without
-- `is_named` the service has made their ids: none of them exists. `has_keys`: some have unique keys.
-- `seq`: see `is_stale`.
local function check(mode, at, size, is_named, has_keys, seq)
    if mode == 'create' then
        local place = is_named and find_existing(at, size)
        if place then
            return 'exists', place
        end
        place = has_keys and find_taken(at, size)
        return place and 'unique', place
    end
    for place = 1, size do
        local id, due, asked = job_row(at + JOB_ROW * (place - 1))
        local elapsed = is_noted(asked, ELAPSED)
        local job = (mode == 'update' or elapsed) and find(id)
        if mode == 'update' and (not job or not is_resource(job.kind)) then
            return 'missing', place
        end
        if mode == 'update' and is_stale(asked, job, seq) then
            return 'stale', place
        end
        if mode == 'update' and is_taken_from(id, job, asked) then
            return 'unique', place
        end
        if elapsed and not is_still_wanted(id, job, asked, due) then
            return 'elapsed', place
        end
    end
end
