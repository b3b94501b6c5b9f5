--!include base
-- One page of jobs in order of creation, without loading the others.
-- ARGV: creator key suffix or '' (all), creator, 'asc' or 'desc', seq to start behind or '', most jobs,
--       bytes after which it takes no further ones
-- Returns: 'ok' | 'not ready', number that match, last seq or '', then for each job: id, record
if not is_ready() then
    return {'not ready'}
end
local key = ARGV[1] == '' and K.created or K.creator .. ARGV[2]
local behind = ARGV[4] ~= '' and '(' .. ARGV[4]
local found
if ARGV[3] == 'desc' then
    found = redis.call('ZRANGE', key, behind or '+inf', '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, ARGV[5], 'WITHSCORES')
else
    found = redis.call('ZRANGE', key, behind or '-inf', '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[5], 'WITHSCORES')
end
local result, bytes = {'ok', redis.call('ZCARD', key), ''}, tonumber(ARGV[6])
for i = 1, #found, 2 do
    if bytes <= 0 then
        break
    end
    local record = redis.call('HGET', K.jobs, found[i])
    push(result, found[i], record)
    result[3], bytes = found[i + 1], bytes - #record
end
return result
