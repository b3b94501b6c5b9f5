--!include base instances numerals run
-- `open` has the unanswered runs of a job. Those of jobs without properties, which most are, come there
-- late: `meta.opened` is the number of the last run that was looked at, so those behind it up to
-- `meta.instance` may be missing. Most are answered before (decision 30).
local LEFT = 200000 -- numbers that staging leaves
local OPENED_FOR_READER = 20000 -- numbers that a call looks at for a reader: some 50 ms
local LOOKED_AT_ONCE = 500
local to_member, to_seq = numerals(), numerals()

-- Puts runs that follow `opened`, up to `last`, into `open`: it looks at `most` numbers. Returns the last one.
local function open_runs(opened, last, most)
    local left = distance(opened, last)
    while left > 0 and most > 0 do
        local names, places = {}, {}
        while left > 0 and #names < LOOKED_AT_ONCE do
            local next = next_number(opened)
            left, opened = left - distance(opened, next), next
            names[#names + 1] = to_member(next)
        end
        for i, run in ipairs(redis.call('HMGET', K.runs, unpack(names))) do
            if run then
                push(places, to_seq((read_run(run))), names[i])
            end
        end
        in_batches('ZADD', K.open, places, 2)
        most = most - #names
    end
    redis.call('HSET', K.meta, 'opened', number(opened))
    return opened
end

local is_complete = false -- whether this call has looked

-- To be called before one looks in `open` for the runs of any job, and before the call has written
-- anything else. While many numbers are left it ends the call, which is then made again (`Scripts.run`).
local function complete_open()
    if is_complete then
        return
    end
    local found = redis.call('HMGET', K.meta, 'opened', 'instance')
    if found[1] and found[1] ~= found[2] then
        local last = tonumber(found[2])
        if open_runs(tonumber(found[1]), last, OPENED_FOR_READER) ~= last then
            error(redis.error_reply('OPENING more runs are left than one call opens'))
        end
    end
    is_complete = true
end
