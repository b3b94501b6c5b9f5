--!include base
-- What a shard of an earlier format needs before it holds data of a later one.

-- From here on data of this format may be stored. Jobs that format 1 listed lack the indexes of
-- format 2 up to the creation number `meta.types_from`, and its unanswered runs are not in `open`:
-- `meta.open_from` is the cursor of a walk over them. `index_older.lua` makes up for both.
local function note_format(writes)
    if writes >= 2 and not has_format(2) then
        if redis.call('EXISTS', K.runs) == 1 then
            redis.call('HSET', K.meta, 'open_from', '0')
        end
        if redis.call('EXISTS', K.created) == 1 then
            redis.call('HSET', K.meta, 'types_from', number(meta('seq')))
        end
    end
    redis.call('HSET', K.meta, 'format', number(writes))
    stored_format = writes
end

-- An owner that does not read it must not go on; any other one takes the lease again, and tells Kafka.
local function raise_format(writes)
    note_format(writes)
    redis.call('DEL', K.lease, K.emitting)
    redis.call('PUBLISH', K.wake, 'released')
end
