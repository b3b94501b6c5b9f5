--!include base room job member limits outbox marker order remove input definition keeping replacing writing putting moving
-- Creates, updates or upserts groups of jobs; each group as a whole or not at all.
-- ARGV: now, partition or '', stored offset, next offset, lineage, bounds of the outbox (see
--       `is_full`), then for each group: mode, its partition, the position behind it, number of jobs, and for each job: id, due ms,
--       record
-- Returns: 'ok' | 'not ready' | 'stale' | 'full' | 'crowded', last entry, lineage, then for each group: 'ok', or
--          'exists', 'missing', 'elapsed', 'moving' (a long list changes the job: send it again later) or 'large' (what
--          it replaces: it has to go in pieces) and the place of the job. A group from a record that fails is the
--          last one that is looked at: its caller stores the position together with the reason.
if not is_ready() then
    return {'not ready'}
end
local now, partition, at = tonumber(ARGV[1]), ARGV[2], 7
if not is_next(partition, ARGV[3], ARGV[5]) then
    return {'stale'}
end
if is_full(ARGV[6]) then
    return {'full'} -- Kafka is behind: what bounds Redis's memory then
end
if is_crowded() then
    return {'crowded'}
end
local results, first_due, moved = {}, nil, {}
local replaced = 0 -- bytes

local function find_refusal(mode, at, size)
    local place = find_moving(at, size, 3)
    if place then
        return 'moving', place
    end
    replaced = replaced + (mode == 'create' and 0 or count_bytes(at, size, 3))
    if replaced > REPLACED_BYTES and (size > 1 or #results > 0) then
        return 'large', 1
    end
    return check(mode, at, size)
end

while at <= #ARGV do
    local mode, size = ARGV[at], tonumber(ARGV[at + 3])
    local fault, place = find_refusal(mode, at + 4, size)
    results[#results + 1] = fault or 'ok'
    results[#results + 1] = place or 0
    if fault and partition ~= '' then
        break
    end
    if not fault then
        local first = #entries + 1
        local due = put(mode, at + 4, size, now)
        if due then -- something has changed
            grouped = grouped or size > 1 -- a list, as a whole
            note_list(first, ARGV[at + 1], ARGV[at + 2])
            first_due = math.min(first_due or due, due)
        end
        moved[ARGV[at + 1]] = ARGV[at + 2]
    end
    at = at + 4 + 3 * size
end
local names, positions = {}, {}
for name, position in pairs(partition ~= '' and moved or {}) do
    push(names, name)
    push(positions, position)
end
advance(table.concat(names, '\0'), table.concat(positions, '\0'), now)
return {'ok', flush(first_due), lineage(), unpack(results)}
