--!include base outbox
-- Ends a restore: forgets it and says so, in one step.
-- ARGV: token, number of the restore, entry or '' (another shard answers)
-- Returns: 'ok' | lost()
if not owns(ARGV[1]) then
    return lost()
end
if redis.call('HDEL', K.restores, ARGV[2]) == 1 and ARGV[3] ~= '' then
    emit(ARGV[3])
    flush()
end
if redis.call('EXISTS', K.restores) == 0 then
    redis.call('UNLINK', K.removed)
end
return 'ok'
