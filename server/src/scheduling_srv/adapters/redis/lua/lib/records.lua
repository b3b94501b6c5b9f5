--!include base
-- Records of one-time jobs that failed, so that they may run again (decision 31).
local LARGEST_RECORD = 65536 -- bytes

local function keep_record(serial, record)
    if #record <= LARGEST_RECORD then
        redis.call('HSET', K.records, serial, record)
        redis.call('RPUSH', K.records_order, serial)
        redis.call('HINCRBY', K.meta, 'records_bytes', #record)
    end
end

-- Those that are not there any more do not count. Their places in the order go with the oldest ones.
local function forget_records(serials)
    local bytes = 0
    for _, serial in ipairs(serials) do
        bytes = bytes + redis.call('HSTRLEN', K.records, serial)
    end
    if bytes > 0 then
        in_batches('HDEL', K.records, serials)
        redis.call('HINCRBY', K.meta, 'records_bytes', -bytes)
    end
end
