--!include base job member
-- The cron jobs whose next time has to be computed.
-- ARGV: token, limit
-- Returns: 'ok' | 'lost', cutoff, then for each job: member, time before it, record
if not owns(ARGV[1]) then
    return {'lost'}
end
local result = {'ok', number(meta('cutoff'))}
local plan = redis.call('ZRANGE', K.plan, 0, ARGV[2] - 1, 'WITHSCORES')
for i = 1, #plan, 2 do
    local seq, _, id = read_member(plan[i])
    local record = redis.call('HGET', K.jobs, id)
    if record and read_seq(record) == seq then
        result[#result + 1] = plan[i]
        result[#result + 1] = plan[i + 1]
        result[#result + 1] = record
    else
        redis.call('ZREM', K.plan, plan[i])
    end
end
return result
