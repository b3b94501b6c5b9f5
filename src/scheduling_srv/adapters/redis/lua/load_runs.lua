--!include base job member limits outbox run
-- Rebuild: unanswered runs, and runs that wait for their retry.
-- ARGV: token, then for each run: job id, record, nominal ms, attempt, instance, start ms, due ms or ''
-- Returns: 'ok' | 'lost'
if not owns(ARGV[1]) then
    return 'lost'
end
for i = 2, #ARGV, 7 do
    local id, job, nominal, attempt = ARGV[i], read_job(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
    if ARGV[i + 6] ~= '' then
        local text = retry_member(job.seq, id, nominal, attempt)
        redis.call('ZADD', K.due, job.rank * RANK + tonumber(ARGV[i + 6]), text)
        redis.call('ZADD', K.retries, job.seq, text)
    else
        local run = struct.pack(RUN, job.seq, nominal, attempt, 0, #job.type) .. job.type .. id
        redis.call('HSET', K.runs, ARGV[i + 4], run)
        redis.call('ZADD', K.running, ARGV[i + 5], ARGV[i + 4])
        redis.call('HINCRBY', K.types, job.type, 1)
    end
end
return 'ok'
