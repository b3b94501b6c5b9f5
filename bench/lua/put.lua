-- Stores jobs.
-- KEYS: due, jobs
-- ARGV: for each job: id, due ms, value
local due, jobs = {}, {}
for i = 1, #ARGV, 3 do
    local at = #due
    due[at + 1], due[at + 2] = ARGV[i + 1], ARGV[i]
    jobs[at + 1], jobs[at + 2] = ARGV[i], ARGV[i + 2]
end
for first = 1, #due, 2000 do
    local last = math.min(first + 1999, #due)
    redis.call('ZADD', KEYS[1], unpack(due, first, last))
    redis.call('HSET', KEYS[2], unpack(jobs, first, last))
end
return #due / 2
