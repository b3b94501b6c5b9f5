--!include backfills base forgetting job member outbox ran remove tallies within
--!args now:int mode bytes:int within runs...
--!row wanted id seq:int nominal:int origin:int
-- Lets runs that have failed be tried again, if their jobs live.
-- `mode`: 'retry', 'look' (changes nothing) or 'forget' (takes the runs out of the history: their jobs
-- were created anew). `bytes`: it looks at no further run after records of so many. `within`: see
-- `within.lua`: other runs are 'unknown'.
-- Returns: 'ok' | 'not ready' | 'old' (the store has an earlier format), last entry, lineage, then for
--          each run that it has come to: 'again' (it is tried again), 'unknown' (it is not in the
--          history), 'other' (it has not failed), 'lives' (the id is that of another job, or of
--          another definition), 'lost' (the job is gone, and its record as well) or 'gone'; the
--          record of the job that is gone, or ''
if not is_ready() then
    return {'not ready'}
end
if not has_format(2) then
    return {'old'}
end

local function find_ran(id, seq, nominal, origin)
    for _, serial in ipairs(serials_of(id)) do
        local run = read_ran(serial)
        if run and run.seq == seq and run.nominal == nominal and run.origin == origin then
            return run
        end
    end
end

-- The run is open again: it does not count any more.
local function uncount(run)
    local tally, left = read_tally(redis.call('HGET', K.tallies, run.id)), {}
    for _, serial in ipairs(serials_in(tally.serials)) do
        left[#left + 1] = serial ~= run.serial and struct.pack(SERIAL, serial) or nil
    end
    tally[run.outcome + 1], tally.serials = math.max(0, tally[run.outcome + 1] - 1), table.concat(left)
    redis.call('HSET', K.tallies, run.id, pack_tally(tally))
end

local function try_again(run, job)
    local text = retry_member(run.seq, run.id, run.nominal, run.attempts + 1, run.origin)
    redis.call('ZADD', K.due, job.rank * RANK + now, text)
    redis.call('ZADD', K.retries, run.seq, text)
    emit_waiting(run.id, run.seq, run.nominal, run.attempts + 1, now, run.origin)
    if job.kind >= INTERVAL then
        uncount(run)
    elseif run.origin ~= SCHEDULE then
        note_by_hand()
    end
    if run.origin == BACKFILLED then
        note_reopened(run.id, run.seq)
    end
    forget_runs({number(run.serial)})
end

local function judge(run)
    local text = redis.call('HGET', K.jobs, run.id)
    local job = text and read_job(text)
    if job and job.seq == run.seq and run.attempts > 0 then
        if mode == 'retry' then
            try_again(run, job)
        end
        return 'again', ''
    elseif job then
        return 'lives', ''
    end
    local record = redis.call('HGET', K.records, number(run.serial))
    return record and 'gone' or 'lost', record or ''
end

local limits = limits_in(within)

-- The record of a job that is gone tells who has created it, as long as it is kept.
local function is_own(run)
    local record = limits and redis.call('HGET', K.jobs, run.id)
    if limits and not (record and read_seq(record) == run.seq) then
        record = redis.call('HGET', K.records, number(run.serial)) or record
    end
    local began = run.started > 0 and run.started or run.ended
    local since = run.origin == BACKFILLED and began or run.nominal
    return is_run_within(limits, run.seq, run.type, record, math.min(since, run.ended))
end

local result = {'ok', 0, lineage()}
for i = runs_at, #args, WANTED_ROW do
    if bytes <= 0 then
        break
    end
    local id, seq, nominal, origin = wanted_row(i)
    local run = find_ran(id, seq, nominal, origin)
    if not run or not is_own(run) then
        push(result, 'unknown', '')
    elseif mode == 'forget' then
        forget_runs({number(run.serial)})
        push(result, 'gone', '')
    elseif run.outcome ~= RAN_FAILED and run.outcome ~= RAN_TIMED_OUT then
        push(result, 'other', '')
    else
        local verdict, record = judge(run)
        push(result, verdict, record)
        bytes = bytes - #record
    end
end
result[2] = flush(now)
return result
