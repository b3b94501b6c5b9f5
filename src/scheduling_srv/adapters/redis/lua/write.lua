--!include base room job member limits outbox marker order remove input writing putting
-- Creates, updates or upserts groups of jobs; each group as a whole or not at all.
-- ARGV: now, partition or '', stored offset, next offset, lineage, bounds of the outbox (see
--       `is_full`), then for each group: mode, first offset, next offset, number of jobs, and for each job: id, due ms,
--       record
-- Returns: 'ok' | 'not ready' | 'stale' | 'full' | 'crowded', last entry, lineage, then for each group: 'ok', or
--          'exists' or 'missing' and the place of the job. A group from a record that fails is the
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
local results, first_due, next_offset = {}, nil, nil
while at <= #ARGV do
    local mode, size = ARGV[at], tonumber(ARGV[at + 3])
    local fault, place = check(mode, at + 4, size)
    results[#results + 1] = fault or 'ok'
    results[#results + 1] = place or 0
    if fault and partition ~= '' then
        break
    end
    if not fault then
        grouped = grouped or size > 1 -- a list, as a whole
        local due = put(mode, at + 4, size)
        first_due = math.min(first_due or due, due)
        next_offset = ARGV[at + 2]
    end
    at = at + 4 + 3 * size
end
if next_offset then
    advance(partition, next_offset, now)
end
return {'ok', flush(first_due), lineage(), unpack(results)}
