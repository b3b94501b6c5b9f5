--!include base upgrade
--!args writes:int
-- Notes that data of this format may be stored from now on.
-- `writes`: the format; 0 to note nothing.
-- Returns: the format that was noted before
local found = meta('format')
check_format(found)
if writes > found then
    note_format(writes)
    -- An owner that cannot read it must not go on; any other takes the lease again, and tells Kafka.
    redis.call('DEL', K.lease, K.emitting)
    redis.call('PUBLISH', K.wake, 'released')
end
return found
