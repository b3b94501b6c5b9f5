--!include base job order walk
-- One page of jobs in order of creation, without loading the others.
-- ARGV: creator key suffix or '' (all), creator, 'asc' or 'desc', seq to start behind or '', most jobs,
--       bytes after which it takes no further ones, most entries that it looks at
-- Returns: 'ok' | 'not ready', number that match, last seq that it looked at or '' (it came to the end),
--          then for each job: id, record. A page may hold no job and yet not be the last one.
if not is_ready() then
    return {'not ready'}
end
local key = ARGV[1] == '' and K.created or K.creator .. ARGV[2]
local behind, down = tonumber(ARGV[4]), ARGV[3] == 'desc'
local most, bytes, looks = 3 + 2 * tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local result, last = {'ok', count_listed(key), ''}, nil

local function look(seq, id)
    if bytes <= 0 or #result >= most then
        result[3] = number(last) -- there is more
        return true
    end
    local record = redis.call('HGET', K.jobs, id)
    local _, _, creator = read_places(record)
    if ARGV[1] == '' or creator == ARGV[2] then
        push(result, id, record)
        bytes = bytes - #record
    end
    last = seq
end

local function rest(seq, size)
    looks = looks - size
    if looks <= 0 then
        result[3] = number(seq)
        return true
    end
end

walk(key, behind and behind + (down and -1 or 1), down, look, ARGV[1] ~= '' and tag(ARGV[2]), rest)
return result
