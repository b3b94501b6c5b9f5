--!include base job member
-- Rebuild: jobs with their old creation numbers.
-- ARGV: token, then for each job: id, due ms or '' (it only has runs), record
-- Returns: 'ok' | 'lost'
if not owns(ARGV[1]) then
    return 'lost'
end
for i = 2, #ARGV, 3 do
    local id, due, record = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local job = read_job(record)
    redis.call('HSET', K.jobs, id, record)
    if job.kind ~= NOW then
        redis.call('ZADD', K.created, job.seq, id)
        redis.call('ZADD', K.creator .. job.creator, job.seq, id)
    end
    if due ~= '' then
        redis.call('ZADD', K.due, job.rank * RANK + tonumber(due), member(job.seq, NEXT, id))
    end
end
return 'ok'
