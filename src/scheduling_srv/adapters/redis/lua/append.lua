--!include base job member outbox marker input
-- Appends events to the outbox, or just stores a partition's position.
-- ARGV: now, partition or '', stored offset, next offset, lineage, bounds of the outbox (see `is_full`),
--       entries ...
-- Returns: 'ok' | 'not ready' | 'stale' | 'full', last entry, lineage
if not is_ready() then
    return {'not ready'}
end
if not is_next(ARGV[2], ARGV[3], ARGV[5]) then
    return {'stale'}
end
if #ARGV > 6 and is_full(ARGV[6]) then
    return {'full'}
end
for i = 7, #ARGV do
    emit(ARGV[i])
end
advance(ARGV[2], ARGV[4], tonumber(ARGV[1]))
return {'ok', flush(), lineage()}
