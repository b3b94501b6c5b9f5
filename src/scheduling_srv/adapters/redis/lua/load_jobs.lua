--!include base job member order
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
        enlist(job.seq, id, job.creator)
    end
    if due ~= '' then
        redis.call('ZADD', K.due, job.rank * RANK + tonumber(due), member(job.seq, NEXT, id))
    end
end
save_order()
return 'ok'
