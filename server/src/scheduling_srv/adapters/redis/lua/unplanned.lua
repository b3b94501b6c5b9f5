--!include base job member
--!args token most:int
-- The cron jobs whose next time has to be computed.
-- `most`: jobs; they end with the one that uses up the budget.
-- Returns: 'ok' | lost(), cutoff, end of the last outage, last look of the owner, then for each job:
--          member, time before it, record, and since when its occurrences have passed in a pause, or ''
if not owns(token) then
    return {lost()}
end
local result = {'ok', number(meta('cutoff')), number(meta('resumed_at')), number(meta('watermark'))}
local plan = redis.call('ZRANGE', K.plan, 0, most - 1, 'WITHSCORES')
local bytes = BUDGET
local is_any_passing = redis.call('EXISTS', K.passing) == 1
for i = 1, #plan, 2 do
    if bytes <= 0 then
        break
    end
    local seq, _, id = read_member(plan[i])
    local record = redis.call('HGET', K.jobs, id)
    bytes = bytes - (record and #record or 0)
    if record and read_seq(record) == seq then
        push(result, plan[i], plan[i + 1])
        push(result, record, is_any_passing and redis.call('HGET', K.passing, plan[i]) or '')
    else
        redis.call('ZREM', K.plan, plan[i])
    end
end
return result
