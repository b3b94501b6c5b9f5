--!include backfills base job marker member outbox parcels pauses states
--!args token log now:int count most_entries:int most:int room:int
-- Writes a piece of what lives to the journal again: parcels, jobs, counts, pauses, notes of replayed
-- dead letters, backfills, then retries. It reads and writes in one call, so whatever changes later
-- comes later. A hash is walked by a cursor, which is good for one process of Redis: with another
-- lineage the walk begins anew. What the walk does not show came after it had begun.
-- `log`: `id start end`. `count`: places to look at. `most_entries`: in the outbox. `most`: bytes
-- of a record, 0 for any. `room`: bytes that a record needs beside its job.
-- Returns: 'ok' | lost() | 'not ready' | 'busy' | 'ended' (all of it is in the outbox) |
--          'published', bytes that were read, entries, jobs that are too large
if not owns(token) then
    return {lost()}
end
if not is_ready() then
    return {'not ready'}
end
local PARCELS, JOBS, STATES, PAUSES, TYPES, WAKING, LETTERS, FILLS, RETRIES, ENDED = 'p', 'j', 's', 'b', 't', 'w', 'd', 'f', 'r', 'e'
local name = string.match(log, '^(.-) ')
local read, too_large = 0, 0

-- Which log is filled, by which life of this Redis, how far. Without a run id nothing tells whether
-- the server was started again: then the epoch of the owner stands in for it.
local life = lineage()
if string.sub(life, -1) == ':' then
    life = life .. string.match(token, '(%d+)$')
end
-- Long lists that were there before have pieces in the old log only. They end soon: so long the
-- refill lasts.
local before = ''
local function save(phase, cursor)
    redis.call('HSET', K.meta, 'refill', cjson.encode({name, life, phase, cursor, before}))
end
local phase, cursor = PARCELS, '0'
local noted = redis.call('HGET', K.meta, 'refill')
local of, known = unpack(noted and cjson.decode(noted) or {})
if of == name and known == life then
    local _, _, at, from, lists = unpack(cjson.decode(noted))
    phase, cursor, before = at, from, lists or ''
else
    before = table.concat(redis.call('SMEMBERS', K.lists), ' ')
end

if phase == ENDED then
    if meta('trimmed') < tonumber(cursor) then
        return {'ended', 0, 0, 0}
    end
    for list in string.gmatch(before, '%S+') do
        if redis.call('SISMEMBER', K.lists, list) == 1 then
            return {'ended', 0, 0, 0}
        end
    end
    redis.call('HSET', K.meta, 'journal', log)
    redis.call('HDEL', K.meta, 'refill')
    return {'published', 0, 0, 0}
end
if redis.call('LLEN', K.outbox) >= most_entries then
    save(phase, cursor)
    return {'busy', 0, 0, 0}
end

-- When the job runs next, by its place in the schedule; `now` for one that only has runs, which
-- nothing reads: its run is on the jobs topic, or waits as a retry.
local function due_of(id, job)
    for _, kind in ipairs({NEXT, MISSED}) do
        local text = member(job.seq, kind, id)
        local score = redis.call('ZSCORE', K.due, text)
        if score then
            return nominal_of(id, job, tonumber(score) % RANK)
        end
        local at = redis.call('ZSCORE', K.waiting, text) or redis.call('ZSCORE', K.plan, text)
            or redis.call('ZSCORE', K.aside, text)
        if at then
            return tonumber(at)
        end
    end
    return passed_since(job.seq) or now
end

local reset, cleared = meta('reset'), meta('cleared')
local function write_job(id, record)
    local job = read_job(record)
    read = read + #record
    if job.seq <= reset or (job.seq <= cleared and is_resource(job.kind)) then
        return
    end
    if most > 0 and #record + #id + room > most then
        too_large = too_large + 1
        return
    end
    emit_created(id, record, due_of(id, job), false)
end

local function write_type_pause(type, note)
    emit_pause(TYPE_PAUSE_KEY .. type, note)
end

local function write_parcel(parcel, value)
    local key = parcel_key(parcel)
    read = read + #value
    emit(struct.pack(KEYED, HAND_ON, #key) .. key .. value)
end

local function write_state(id, text)
    local seq, _, last, counted = struct.unpack(STATE, text)
    read = read + #text
    if counted > 0 then
        count_run(id, seq, {last = last, counted = counted}, last)
    end
end

local function write_retry(text)
    local seq, kind, id, nominal, attempt, origin = read_member(text)
    if kind == PASSED then
        return -- the job says it
    end
    local score = redis.call('ZSCORE', K.due, text)
    local held = (origin or SCHEDULE) == SCHEDULE and nominal or now -- it has been due
    local due = score and tonumber(score) % RANK or held
    read = read + #text
    emit_waiting(id, seq, nominal, attempt, due, origin)
end

local function write_replayed(letter)
    local key = REPLAYED_KEY .. letter
    emit(struct.pack(KEYED, NOTE_REPLAYED, #key) .. key .. '{}')
end

-- One step of a walk, then the phase behind it. A small hash or set comes as a whole, whatever
-- `count` says: those have at most some hundred members of 64 bytes.
local function walk_on(command, key, write, after)
    local found = redis.call(command, key, cursor, 'COUNT', count)
    for i = 1, #found[2], 2 do
        write(found[2][i], found[2][i + 1])
    end
    cursor = found[1]
    if cursor == '0' then
        phase = after
    end
end

-- A walk whose hash or set has gone meanwhile ends as well.
local function skip_to(other)
    phase, cursor = other, '0'
end

if phase == PARCELS and SHARDS == 1 then
    skip_to(JOBS)
elseif phase == STATES and not is_any_paused() and redis.call('EXISTS', K.states) == 0 then
    skip_to(LETTERS)
end
if phase == LETTERS and redis.call('EXISTS', K.replayed) == 0 then
    skip_to(FILLS)
end
if phase == FILLS and not is_any_backfill() then
    skip_to(RETRIES)
end
if phase == PARCELS then
    walk_on('HSCAN', K.parcels, write_parcel, JOBS)
elseif phase == JOBS then
    walk_on('HSCAN', K.jobs, write_job, STATES)
elseif phase == STATES then
    walk_on('HSCAN', K.states, write_state, PAUSES)
elseif phase == PAUSES then
    walk_on('HSCAN', K.paused, function(id, note)
        emit_pause(id .. PAUSE_KEY, note)
    end, TYPES)
elseif phase == TYPES then
    walk_on('HSCAN', K.paused_types, write_type_pause, WAKING)
elseif phase == WAKING then
    walk_on('HSCAN', K.waking, write_type_pause, LETTERS)
elseif phase == LETTERS then
    walk_on('ZSCAN', K.replayed, write_replayed, FILLS)
elseif phase == FILLS then
    walk_on('HSCAN', K.backfills, function(id, text)
        save_backfill(id, cjson.decode(text), true)
    end, RETRIES)
else
    walk_on('ZSCAN', K.retries, write_retry, ENDED)
end
local size = #entries
if phase == ENDED then
    emit_marker(now) -- so that there is a position as well
end
if size > 0 then
    note_repeated()
end
local tail = flush()
save(phase, phase == ENDED and number(tail) or cursor)
return {'ok', read, size, too_large}
