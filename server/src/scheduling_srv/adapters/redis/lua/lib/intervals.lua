--!include base
-- Logs of what is rare and explains why runs did not start (decision 31): the newest ones are kept.
local LOGGED = 1000 -- of each log

local function append(key, texts)
    in_batches('RPUSH', key, texts)
    redis.call('LTRIM', key, -LOGGED, -1)
end

local function log_all(key, texts)
    if #texts > 0 and has_format(2) then
        append(key, texts)
    end
end

-- The owner has not looked between these instants.
local function log_outage(since, now)
    log_all(K.outages, {struct.pack(OUTAGE, since, now)})
end

-- A token is that of the owner from now on. The first one comes before the format of a new shard is
-- known; an older version leaves the log alone.
local function log_owner(token, now)
    append(K.owners, {struct.pack(OWNED, now) .. token})
end

-- A pause that has ended, as the log keeps it. `is_of_type`: of a type, or of a job.
local function pause_text(is_of_type, name, note, now)
    return struct.pack(PAUSED_UNTIL, now, is_of_type and 1 or 0, #name) .. name .. note
end

-- A job that is gone, as the log keeps it. `why`: GONE_...
local function farewell_text(id, seq, why, now)
    return struct.pack(FAREWELL, now, seq, why) .. id
end
