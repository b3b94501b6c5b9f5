--!include base job member limits outbox run
-- Rebuild: unanswered runs, whether or not their job lives, and runs that wait for their retry.
-- ARGV: token, then for each run: job id, seq, nominal ms, attempt, type, instance, start ms, rank,
--       due ms or '' (unanswered)
-- Returns: 'ok' | 'lost'
if not owns(ARGV[1]) then
    return 'lost'
end
for i = 2, #ARGV, 9 do
    local id, seq, nominal, attempt = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
    local type, instance, due = ARGV[i + 4], ARGV[i + 5], ARGV[i + 8]
    if due ~= '' then
        local text = retry_member(seq, id, nominal, attempt)
        redis.call('ZADD', K.due, tonumber(ARGV[i + 7]) * RANK + tonumber(due), text)
        redis.call('ZADD', K.retries, seq, text)
    else
        redis.call('HSET', K.runs, instance, struct.pack(RUN, seq, nominal, attempt, 0, #type) .. type .. id)
        redis.call('ZADD', K.running, ARGV[i + 6], instance)
        redis.call('HINCRBY', K.types, type, 1)
    end
end
return 'ok'
