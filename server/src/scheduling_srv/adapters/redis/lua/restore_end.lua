--!include base outbox
--!args token restore entry
-- Ends a restore: forgets it and says so, in one step.
-- `restore`: its number. `entry`: '' if another shard answers.
-- Returns: 'ok' | lost()
if not owns(token) then
    return lost()
end
if redis.call('HDEL', K.restores, restore) == 1 and entry ~= '' then
    emit(entry)
    flush()
end
if redis.call('EXISTS', K.restores) == 0 then
    redis.call('UNLINK', K.removed)
end
return 'ok'
