--!include base
--!args token stored:int
-- Keeps everybody out while the shard is rebuilt. What is not of its content survives: the epoch,
-- who is present, and the numbers of restores.
-- `stored`: the format of what will be loaded, so that jobs are indexed at once.
-- Returns: 'ok' | lost()
if not owns(token) then
    return lost()
end
redis.call('HDEL', K.meta, 'state', 'incarnation', 'tail', 'trimmed', 'taken', 'seq', 'instance', 'reset', 'cleared',
    'swept', 'watermark', 'cutoff', 'origin', 'last_run', 'staged', 'first_staged', 'last_begun', 'refill', 'outbox_bytes',
    'outbox_gone', 'outbox_longest', 'paused', 'resting', 'resumed_at', 'types_from', 'open_from', 'by_hand', 'records_bytes', 'unanswered_since',
    'opened', 'old_numbers')
redis.call('HSET', K.meta, 'largest', 0, 'format', number(math.max(meta('format'), stored)))
return 'ok'
