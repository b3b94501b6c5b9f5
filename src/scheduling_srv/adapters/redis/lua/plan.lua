--!include base job member outbox
-- Puts cron jobs back into `due`, for the times that Python has computed.
-- ARGV: token, then for each job: member of `plan`, next due ms or '' (never again), kind of member
-- Returns: 'ok' | 'lost'
if not owns(ARGV[1]) then
    return {'lost'}
end
for i = 2, #ARGV, 3 do
    local text, due, kind = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
    local seq, _, id = read_member(text)
    local record = redis.call('ZREM', K.plan, text) == 1 and redis.call('HGET', K.jobs, id)
    if record and read_seq(record) == seq and due ~= '' then
        redis.call('ZADD', K.due, read_job(record).rank * RANK + tonumber(due), member(seq, kind, id))
    end
end
return {'ok'}
