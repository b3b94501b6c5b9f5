--!include base input outbox
--!args now:int partition expected position known bounds entries...
-- Appends events to the outbox, or just stores a partition's position.
-- `partition` to `bounds`: see `input.lua` and `is_full`.
-- Returns: 'ok' | 'not ready' | 'stale' | 'full', last entry, lineage
if not is_ready() then
    return {'not ready'}
end
if not is_next(partition, expected, known) then
    return {'stale'}
end
if entries_at <= #args and is_full(bounds) then
    return {'full'}
end
for i = entries_at, #args do
    emit(args[i])
end
advance(partition, position, now)
return {'ok', flush(), lineage()}
