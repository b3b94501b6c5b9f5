--!include base ran records tallies
-- Takes runs out of the history.
local function forget_once(run)
    local serials, left = serials_in(redis.call('HGET', K.failed_once, run.id) or ''), {}
    for _, serial in ipairs(serials) do
        left[#left + 1] = serial ~= run.serial and struct.pack(SERIAL, serial) or nil
    end
    if #left > 0 then
        redis.call('HSET', K.failed_once, run.id, table.concat(left))
    else
        redis.call('HDEL', K.failed_once, run.id)
    end
end

-- `serials`: as texts.
local function forget_runs(serials)
    for _, serial in ipairs(serials) do
        if redis.call('ZREM', K.ended_once, serial) == 1 then
            local run = read_ran(tonumber(serial))
            if run then
                forget_once(run)
            end
        end
    end
    forget_records(serials)
    in_batches('HDEL', K.history, serials)
    in_batches('ZREM', K.ended, serials)
end
