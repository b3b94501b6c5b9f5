--!include base outbox remove
--!args most:int most_entries:int
-- Removes a piece of the retries whose job is gone. They wait while others wait for Kafka.
-- `most`: retries. `most_entries`: in the outbox.
-- Returns: 'ok' | 'not ready', number of retries removed, number of jobs with more of them
if not is_ready() then
    return {'not ready'}
end
local left = redis.call('LLEN', K.outbox) < most_entries and most or 0
local removed = 0
local orphans = redis.call('HSCAN', K.orphans, 0, 'COUNT', 10)[2]
for i = 1, left > 0 and #orphans or 0, 2 do
    local seq, parallel, at = orphans[i], struct.unpack(ORPHAN, orphans[i + 1])
    local waiting = redis.call('ZRANGE', K.retries, seq, seq, 'BYSCORE', 'LIMIT', 0, left - removed)
    for _, text in ipairs(waiting) do
        remove_retry(text, parallel, string.sub(orphans[i + 1], at))
    end
    removed = removed + #waiting
    if removed == left then
        break
    end
    redis.call('HDEL', K.orphans, seq)
end
flush()
return {'ok', removed, redis.call('HLEN', K.orphans)}
