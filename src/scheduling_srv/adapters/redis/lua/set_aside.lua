--!include base job member limits outbox marker order remove run answer
-- Sets aside what Kafka refuses (decision 9): other entries take its place, and what it announced is undone.
-- ARGV: token, lineage, now, news for those who wait or '', then lists, each behind its length:
--       replaced entries: number, letter that it has now, new entry
--       jobs that are undone: id, creation number
--       ids that are on their way to another shard: id, name of the parcel
--       what the jobs were before: letter and bytes of a section (`note_replaced`)
--       runs that end: id, creation number, instance, nominal ms, attempt, entry if its one-time job goes
--       entries to be appended
-- Returns: 'ok' | lost() | 'diverged'
if not owns(ARGV[1]) then
    return {lost()}
end
local KEPT, LASTS = 100, 60000 -- news, and ms: for who has missed the signal
local now, trimmed, at = tonumber(ARGV[3]), meta('trimmed'), 5

-- Calls see(index) for each element of the next list in ARGV.
local function each(step, see)
    local first, size = at + 1, tonumber(ARGV[at])
    at = first + size * step
    for i = first, at - 1, step do
        see(i)
    end
end

local function place(i)
    return number(ARGV[i] - trimmed - 1)
end

local here = lineage() == ARGV[2]
each(3, function(i)
    local entry = redis.call('LINDEX', K.outbox, place(i))
    here = here and entry and string.sub(entry, 1, 1) == ARGV[i + 1]
end)
if not here then
    return {'diverged'}
end
at = 5
each(3, function(i)
    redis.call('LSET', K.outbox, place(i), ARGV[i + 2])
end)

local gone = {} -- ids that nobody has now, because this call has taken them away
each(2, function(i)
    local record = redis.call('HGET', K.jobs, ARGV[i])
    if record and read_seq(record) == tonumber(ARGV[i + 1]) then
        remove_job(ARGV[i], read_job(record))
        gone[ARGV[i]] = true
    end
end)
each(2, function(i)
    redis.call('HDEL', K.parcels, ARGV[i + 1])
    if redis.call('HGET', K.moving, ARGV[i]) == ARGV[i + 1] then
        redis.call('HDEL', K.moving, ARGV[i])
        gone[ARGV[i]] = true
    end
end)

local back = {} -- id -> creation number, of jobs that are there again

-- The job that was replaced is there again; the journal still has it.
local function bring_back(text)
    local where, kind, score, size, from = struct.unpack('<c1BI8I2', text)
    local id, record = string.sub(text, from, from + size - 1), string.sub(text, from + size)
    if not gone[id] or redis.call('HEXISTS', K.jobs, id) == 1 then
        return
    end
    local sort, _, creator, seq = read_places(record)
    back[id] = seq
    redis.call('HDEL', K.orphans, number(seq)) -- its retries are wanted again
    redis.call('HSET', K.jobs, id, record)
    if where ~= '-' then
        redis.call('ZADD', where == 'p' and K.plan or K.due, number(score), member(seq, kind, id))
    end
    if sort ~= NOW then
        enlist(seq, id, creator)
    end
end

local function bring_back_retry(text)
    local score, from = struct.unpack('<I8', text)
    local waiting = string.sub(text, from)
    local seq, _, id = read_member(waiting)
    if back[id] == seq then
        redis.call('ZADD', K.due, number(score), waiting)
        redis.call('ZADD', K.retries, seq, waiting)
    end
end

each(1, function(i)
    local see = string.sub(ARGV[i], 1, 1) == 'O' and bring_back or bring_back_retry
    see(string.sub(ARGV[i], 2))
end)
for id in pairs(gone) do
    if redis.call('HEXISTS', K.jobs, id) == 0 then
        emit('X' .. id) -- the journal may have an older one
    end
end

each(6, function(i)
    local id, seq, instance, nominal, attempt = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], tonumber(ARGV[i + 3]),
        tonumber(ARGV[i + 4])
    local run = redis.call('HGET', K.runs, instance)
    local of, at_time, number_of, _, size, from = struct.unpack(RUN, run or string.rep('\0', 30))
    if not run or of ~= seq or at_time ~= nominal or number_of ~= attempt then
        return
    end
    free_place(instance, string.sub(run, from, from + size - 1))
    if attempt > 1 then
        emit('X' .. retry_key(id, seq, nominal))
    end
    local record = redis.call('HGET', K.jobs, id)
    local job = record and read_job(record)
    if job and job.seq == seq and job.kind < INTERVAL then
        remove_job(id, job)
        remember_removed(id, job)
        if job.kind == ONCE then
            emit(ARGV[i + 5])
        end
        emit('X' .. id)
    end
end)
each(1, function(i)
    emit(ARGV[i])
end)
emit_marker(now)
flush(now)
if ARGV[4] ~= '' then
    redis.call('RPUSH', K.refused, ARGV[4])
    redis.call('LTRIM', K.refused, -KEPT, -1)
    redis.call('PEXPIRE', K.refused, LASTS)
    redis.call('PUBLISH', K.wake, 'refused ' .. ARGV[4])
end
return {'ok'}
