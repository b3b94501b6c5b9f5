--!include base job order walk
--!args creator order cursor:int limit:int bytes:int looks:int
-- One page of jobs in order of creation, without loading the others.
-- `creator`: '' for all. `order`: 'asc' or 'desc'. `cursor`: seq to start after, or ''.
-- `bytes`: it takes no further jobs after so many. `looks`: entries that it looks at.
-- Returns: 'ok' | 'not ready', number that match, last seq that it looked at or '' (it came to the
--          end), then for each job: id, record. A page may hold no job and yet not be the last one.
if not is_ready() then
    return {'not ready'}
end
local key = creator == '' and K.created or K.creator .. creator
local down, most = order == 'desc', 3 + 2 * limit
local result, last = {'ok', count_listed(key), ''}, nil

local wanted_tag = creator ~= '' and tag(creator)
local function look(seq, entry)
    if wanted_tag and string.sub(entry, 2, 3) ~= wanted_tag then
        return
    end
    if bytes <= 0 or #result >= most then
        result[3] = number(last) -- there is more
        return true
    end
    local id = listed_id(entry)
    local record = redis.call('HGET', K.jobs, id)
    local _, _, its_creator = read_places(record)
    if creator == '' or its_creator == creator then
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

walk(function(list)
    return next_lists(key, list, down)
end, cursor and cursor + (down and -1 or 1), down, look, rest)
return result
