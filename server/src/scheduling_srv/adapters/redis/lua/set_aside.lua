--!include answer backfill_counts backfills base history job marker member order outbox pauses remove run states tallies unique
--!args token known now:int news lists...
--!row replacement number:int was entry
--!row undone id seq:int
--!row parted id parcel
--!row ended id seq:int instance nominal:int attempt:int farewell
-- Sets aside what Kafka refuses (decision 9): other entries take its place, and what it announced
-- is undone.
-- `known`: lineage of the store. `news`: for those who wait, or ''.
-- Lists, each after its size: replacements; undone jobs; ids that do not go to another shard;
-- sections of what the jobs were before (`note_replaced`); ended runs; entries to append.
-- `was`: letter of the entry that is replaced. `farewell`: entry if a one-time job goes.
-- Returns: 'ok' | lost() | 'diverged'
if not owns(token) then
    return {lost()}
end
local NEWS_KEPT, NEWS_MS = 100, 60000 -- for who has missed the signal
local trimmed, at = meta('trimmed'), lists_at

-- Calls see(index) for each row of the next list.
local function each(step, see)
    local first, size = at + 1, tonumber(args[at])
    at = first + size * step
    for i = first, at - 1, step do
        see(i)
    end
end

local function place(entry_number)
    return number(entry_number - trimmed - 1)
end

local here = lineage() == known
each(REPLACEMENT_ROW, function(i)
    local entry_number, was = replacement_row(i)
    local entry = redis.call('LINDEX', K.outbox, place(entry_number))
    here = here and entry and string.sub(entry, 1, 1) == was
end)
if not here then
    return {'diverged'}
end
at = lists_at
each(REPLACEMENT_ROW, function(i)
    local entry_number, _, entry = replacement_row(i)
    redis.call('LSET', K.outbox, place(entry_number), entry)
end)

local pauses = {} -- id -> pause of a job that is taken away
local parted = {} -- ids of jobs that do not go to another shard
local gone = {} -- ids that nobody has now, because this call has taken them away
each(UNDONE_ROW, function(i)
    local id, seq = undone_row(i)
    local record = redis.call('HGET', K.jobs, id)
    if record and read_seq(record) == seq then
        pauses[id] = pause_of(id)
        remove_job(id, read_job(record))
        gone[id] = true
    end
end)
each(PARTED_ROW, function(i)
    local id, parcel = parted_row(i)
    redis.call('HDEL', K.parcels, parcel)
    if redis.call('HGET', K.moving, id) == parcel then
        redis.call('HDEL', K.moving, id)
        gone[id], parted[id] = true, true
    end
end)

local back = {} -- id -> creation number, of jobs that are there again

-- The job that was replaced is there again; the journal still has it.
local function bring_back(text)
    local where, kind, score, size, from = struct.unpack(OLD_JOB_PART, text)
    local id, record = string.sub(text, from, from + size - 1), string.sub(text, from + size)
    if not gone[id] or redis.call('HEXISTS', K.jobs, id) == 1 then
        return
    end
    local sort, _, creator, seq, type, labels = read_places(record)
    back[id] = seq
    redis.call('HDEL', K.orphans, number(seq)) -- its retries are wanted again
    redis.call('HSET', K.jobs, id, record)
    if sort ~= ENDING then
        take_key(id, record)
    end
    if where ~= '-' then
        redis.call('ZADD', where == 'p' and K.plan or K.due, number(score), member(seq, kind, id))
    end
    if is_resource(sort) then
        enlist(seq, id, creator, type, labels)
    end
    if pauses[id] then
        pause_job(id, pauses[id])
    end
end

local function bring_back_retry(text)
    local score, from = struct.unpack(OLD_RETRY_PART, text)
    local waiting = string.sub(text, from)
    local seq, _, id = read_member(waiting)
    if back[id] == seq then
        redis.call('ZADD', K.retries, seq, waiting)
        if score == RESTS then -- whether it still rests is found out as after a Resume
            rest_for_job(seq, waiting)
            resume_job(seq, id)
        else
            redis.call('ZADD', K.due, number(score), waiting)
        end
    end
end

-- Id and text of `note_part`.
local function part_of(text)
    local size, from = struct.unpack(OLD_STATE_PART, text)
    return string.sub(text, from, from + size - 1), string.sub(text, from + size)
end

-- A job that was to move is paused as before; any other one as its replacement is.
local function bring_back_pause(text)
    local id, pause = part_of(text)
    if back[id] and parted[id] then
        pause_job(id, pause)
    end
end

-- Its runs are counted: in the tally of its replacement, which has gone on with it, or as before.
local function bring_back_tally(text)
    local id, tally = part_of(text)
    if back[id] then
        keep_tally(id)
        redis.call('HSETNX', K.tallies, id, tally)
    end
end

-- Runs of it may have ended meanwhile: all that wait are there again.
local function bring_back_backfill(text)
    local id, noted = part_of(text)
    if back[id] then
        local backfill = cjson.decode(noted)
        count_ended_of(backfill)
        save_backfill(id, backfill, true)
        redis.call('PUBLISH', K.wake, 'backfill')
    end
end

local function bring_back_state(text)
    local id, state = part_of(text)
    if back[id] then
        redis.call('HSET', K.states, id, state)
        local seq, _, last, counted = struct.unpack(STATE, state)
        if counted > 0 then
            count_run(id, seq, {counted = counted, last = last}, last) -- the journal has another one
        end
    end
end

local SEE = {[OLD_JOB] = bring_back, [OLD_RETRY] = bring_back_retry, [OLD_STATE] = bring_back_state,
    [OLD_PAUSE] = bring_back_pause, [OLD_TALLY] = bring_back_tally}
local backfills = {}
each(1, function(i)
    local letter, text = string.sub(args[i], 1, 1), string.sub(args[i], 2)
    if letter == OLD_BACKFILL then
        backfills[#backfills + 1] = text
    else
        SEE[letter](text)
    end
end)
for _, text in ipairs(backfills) do -- after all retries
    bring_back_backfill(text)
end
for id in pairs(gone) do
    if redis.call('HEXISTS', K.jobs, id) == 0 then
        emit_deleted(id, false) -- the journal may have an older one
    end
end

each(ENDED_ROW, function(i)
    local id, seq, instance, nominal, attempt, farewell = ended_row(i)
    local run = known_runs[instance] == nil and redis.call('HGET', K.runs, instance)
    local stored = run or string.rep('\0', RUN_SIZE)
    local of, at_time, number_of, _, size, from, origin = read_run(stored)
    if not run or of ~= seq or at_time ~= nominal or number_of ~= attempt then
        return
    end
    known_runs[instance] = false
    free_place(instance, string.sub(run, from, from + size - 1))
    if attempt > 1 then
        emit(TOMBSTONE .. retry_key(id, seq, nominal, origin))
    end
    local record = redis.call('HGET', K.jobs, id)
    local job = record and read_job(record)
    local type = string.sub(run, from, from + size - 1)
    note_ended(instance, id, type, job, seq, nominal, attempt, origin, 'refused', now, '')
    if job and job.seq == seq then
        after_end(id, job)
        if origin == BACKFILLED then
            note_backfilled(id, seq)
        end
    end
    if job and job.seq == seq and job.kind < INTERVAL and origin == SCHEDULE then
        remove_job(id, job)
        remember_removed(id, job)
        if job.kind == ONCE then
            emit(farewell)
        end
        emit_deleted(id, false)
    end
end)
each(1, function(i)
    emit(args[i])
end)
save_ended()
emit_marker(now)
flush(now)
if news ~= '' then
    redis.call('RPUSH', K.refused, news)
    redis.call('LTRIM', K.refused, -NEWS_KEPT, -1)
    redis.call('PEXPIRE', K.refused, NEWS_MS)
    redis.call('PUBLISH', K.wake, 'refused ' .. news)
end
return {'ok'}
