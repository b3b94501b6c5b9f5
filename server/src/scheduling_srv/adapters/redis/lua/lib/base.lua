--!row job id due:int record
-- Small helpers that every script may use.
local RANK = 281474976710656 -- 2^48: scores in `due` are rank * RANK + due ms
local BATCH = 1000 -- what one variadic call may take: Lua's stack ends at 8000
local BUDGET = 4000000 -- bytes of records or entries that one call reads or writes (decision 14)

local at_the_end = {} -- what `flush` does first, for libraries that gather their changes

local function number(text)
    return string.format('%.0f', text)
end

-- Whether Python computes the next time of a job: of every recurring kind but INTERVAL.
local function is_planned(job)
    return job.kind == CRON
end

local function recurs(job)
    return job.kind == INTERVAL or job.kind == CRON
end

-- Whether Read shows jobs of this kind.
local function is_resource(kind)
    return kind ~= NOW and kind ~= ENDING
end

local function meta(field)
    return tonumber(redis.call('HGET', K.meta, field) or '0')
end

-- Ends the script because of what a later version has stored (decision 24). `refusals.py` knows the
-- word.
local function refuse_newer(what, found)
    error(redis.error_reply('NEWERDATA ' .. what .. ' ' .. number(found)))
end

local function check_format(found)
    if found > FORMAT_NEWEST then
        refuse_newer('format', found)
    end
end

local stored_format -- of the shard; nil: not asked yet

local function is_ready()
    local found = redis.call('HMGET', K.meta, 'state', 'format')
    stored_format = tonumber(found[2] or '0')
    check_format(stored_format)
    return found[1] == 'ready'
end

-- Whether data of this format, or of a later one, may be stored.
local function has_format(wanted)
    stored_format = stored_format or meta('format')
    return stored_format >= wanted
end

local holder -- the token of the owner, after `owns`; false: there is none

local function owns(token)
    holder = redis.call('GET', K.lease)
    return holder == token
end

-- What a caller that is not the owner is told.
local function lost()
    return holder and 'lost' or 'gone'
end

-- The life of what this Redis holds: of the store's content and of the server, which may have lost
-- its last writes when it was started again, or when it became the primary. Its replication id is
-- another one after both; a server that was the primary before and is it again has a new one too,
-- and the same
-- `run_id`. Where INFO is forbidden only the content counts.
local function lineage()
    local info = redis.pcall('INFO', 'replication')
    local server = type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or ''
    return (redis.call('HGET', K.meta, 'incarnation') or '') .. ':' .. string.sub(server, 1, 12)
end

-- Whether an owner has compared this life with Kafka. What Redis holds after a start may be older
-- than what Kafka has: nobody may decide by it before. Earlier versions have not noted it.
local function is_compared()
    local compared = redis.call('HGET', K.meta, 'compared')
    return not compared or compared == lineage()
end

-- Redis's own clock, in whole epoch ms.
local function clock_ms()
    local time = redis.call('TIME')
    return number(tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
end

local function push(list, first, second)
    list[#list + 1] = first
    list[#list + 1] = second
end

-- Calls `command key ...` with all of `values`, in pieces. `step` is the size of one element. Returns
-- the last answer; nil: there is nothing to be done.
local function in_batches(command, key, values, step)
    local size, answer = BATCH - BATCH % (step or 1), nil
    for first = 1, #values, size do
        answer = redis.call(command, key, unpack(values, first, math.min(first + size - 1, #values)))
    end
    return answer
end
