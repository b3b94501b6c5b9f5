--!include base job order walk
-- One page of jobs in order of creation, without loading the others.
-- ARGV: creator key suffix or '' (all), creator, 'asc' or 'desc', seq to start behind or '', most jobs,
--       bytes after which it takes no further ones
-- Returns: 'ok' | 'not ready', number that match, last seq or '', then for each job: id, record
if not is_ready() then
    return {'not ready'}
end
local key = ARGV[1] == '' and K.created or K.creator .. ARGV[2]
local behind, down = tonumber(ARGV[4]), ARGV[3] == 'desc'
local most, bytes = 3 + 2 * tonumber(ARGV[5]), tonumber(ARGV[6])
local wanted = ARGV[1] ~= '' and tag(ARGV[2])
local result = {'ok', count_listed(key), ''}
walk(key, behind and behind + (down and -1 or 1), down, function(seq, id, tagged)
    if bytes <= 0 or #result >= most then
        return true
    end
    if not wanted or tagged == wanted then
        local record = redis.call('HGET', K.jobs, id)
        local _, _, creator = read_places(record)
        if not wanted or creator == ARGV[2] then
            push(result, id, record)
            result[3], bytes = number(seq), bytes - #record
        end
    end
end)
return result
