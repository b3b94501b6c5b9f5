--!include base finishing history job member outbox states
--!args token now:int jobs...
--!row planned member due kind:int lapse
-- Puts cron jobs back into `due`, for the times that Python has computed, or sets them aside.
-- `member`: of `plan`. `due`: '' (never again: a job with an end is finished) or 'aside' (no time can
-- be computed). `kind`: of the new member. `lapse`: '', or how many occurrences have passed without a
-- run until then, the last one of them, and why.
-- Returns: 'ok' | lost(), number of jobs that are set aside
if not owns(token) then
    return {lost()}
end

local function note_lapse(id, job, lapse)
    local size, nominal, why = string.match(lapse, '^(%d+) (%d+) ([%l_]+)$')
    note_passed(id, job, tonumber(nominal), why, now, tonumber(size))
end

local passing, is_any_passing = {}, redis.call('EXISTS', K.passing) == 1
for i = jobs_at, #args, PLANNED_ROW do
    local text, due, kind, lapse = planned_row(i)
    local seq, _, id = read_member(text)
    local after = redis.call('ZSCORE', K.plan, text)
    local record = redis.call('ZREM', K.plan, text) == 1 and redis.call('HGET', K.jobs, id)
    local is_current = record and read_seq(record) == seq
    if is_current and due == 'aside' then
        redis.call('ZADD', K.aside, after, text)
    elseif is_current then
        local job = read_job(record)
        if lapse ~= '' then
            note_lapse(id, job, lapse)
        end
        if due ~= '' then
            redis.call('ZADD', K.due, job.rank * RANK + note_nominal(id, job, tonumber(due)), member(seq, kind, id))
        elseif job.rules then
            finish(id, record, tonumber(after), now)
        end
    end
    passing[#passing + 1] = is_any_passing and text or nil
end
in_batches('HDEL', K.passing, passing)
flush()
return {'ok', redis.call('ZCARD', K.aside)}
