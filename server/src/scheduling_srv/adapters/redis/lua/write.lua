--!include base input moving names outbox putting requests room writing
--!args now:int partition expected known bounds groups...
--!row group mode partition position named request seq:int size:int
-- Creates, updates or upserts groups of jobs; each group as a whole or not at all.
-- `partition` to `bounds`: see `input.lua` and `is_full`. A group's `partition` and `position`: its
-- record's. `named`: '1' if clients have named ids; others are new. '3' and '2': the same, and some
-- new jobs have unique keys. `request`: name of the request, or ''; one that was answered before is
-- `known`. `seq`: creation number of the job that an Update has read; 0: any. Its jobs follow it.
-- Returns: 'ok' | 'not ready' | 'stale' | 'full' | 'crowded', last entry, lineage, then for each
--          group: 'ok', or 'exists', 'missing', 'stale' (another revision, or another job), 'unique' (another job has the key),
--          'known', 'elapsed', 'moving' (a long list changes the job: send it again later) or 'large' (what it replaces: it has to go in pieces, or alone) and the place
--          of the job. A group from a record that fails is the last one that is looked at: its
--          caller stores the position together with the reason.
if not is_ready() then
    return {'not ready'}
end
if not is_next(partition, expected, known) then
    return {'stale'}
end
if is_full(bounds) then
    return {'full'} -- Kafka is behind: what bounds Redis's memory then
end
if is_crowded() then
    return {'crowded'}
end
local results, first_due, moved = {}, nil, {}
local replaced_bytes = 0

local function find_refusal(mode, at, size, named, seq)
    local place = find_moving(at, size, JOB_ROW)
    if place then
        return 'moving', place
    end
    if mode ~= 'create' then -- it replaces nothing
        replaced_bytes = replaced_bytes + count_bytes(at, size, JOB_ROW)
        if replaced_bytes > REPLACED_BYTES and (size > 1 or #results > 0) then
            return 'large', 1
        end
    end
    return check(mode, at, size, named == '1' or named == '3', named > '1', seq)
end

local at = groups_at
while at <= #args do
    local mode, origin, position, named, request, seq, size = group_row(at)
    local jobs_at = at + GROUP_ROW
    local fault, place
    if recall(request) then
        fault, place = 'known', 1
    else
        fault, place = find_refusal(mode, jobs_at, size, named, seq)
    end
    results[#results + 1] = fault or 'ok'
    results[#results + 1] = place or 0
    if fault and partition ~= '' then
        break
    end
    if not fault then
        local first = #entries + 1
        note_made(named == '0' or named == '2')
        local due = put(mode, jobs_at, size, now)
        if due then -- something has changed
            grouped = grouped or size > 1 -- a list, as a whole
            note_list(first, origin, position)
            first_due = math.min(first_due or due, due)
        end
        moved[origin] = position
        keep_answer(request, '{}')
    end
    at = jobs_at + JOB_ROW * size
end
local names, positions = {}, {}
for name, position in pairs(partition ~= '' and moved or {}) do
    push(names, name)
    push(positions, position)
end
advance(table.concat(names, '\0'), table.concat(positions, '\0'), now)
return {'ok', flush(first_due), lineage(), unpack(results)}
