--!include base member outbox remove
-- Runs that callers ask for, beside the schedule (decision 30).
local MANUAL_MS = 60000 -- so long the clock of a replica may be behind that of another one

-- A nominal time that no other run by hand of the job has.
local function nominal_by_hand(seq, now)
    local last = tonumber(redis.call('GET', K.manual .. number(seq)) or '0')
    local nominal = math.max(now, last + 1)
    redis.call('SET', K.manual .. number(seq), number(nominal), 'PX', MANUAL_MS)
    return nominal
end

-- Adds a run that is due now.
local function add_run(id, job, nominal, origin, now)
    local text = retry_member(job.seq, id, nominal, 1, origin)
    redis.call('ZADD', K.due, job.rank * RANK + now, text)
    redis.call('ZADD', K.retries, job.seq, text)
    emit_waiting(id, job.seq, nominal, 1, now, origin)
    if job.kind < INTERVAL then
        note_by_hand()
    end
end
