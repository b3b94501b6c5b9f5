--!include base job
--!args token lasts:int ids...
-- Claims job ids for a call that decides about them, or none of them. All these claims end at one
-- instant, so the call need not look at each of them later.
-- `lasts`: ms that a claim holds.
-- Returns: 'ok' | 'not ready' (or not compared: a job that was lost may come back) | 'claimed' (by
--          another call) | 'moving' (to another shard), lineage, then for each id the kind of the job
--          that lives here; -1: none does; LEAVING: none does, but Kafka does not know yet that it is
--          gone
if not is_ready() or not is_compared() then
    return {'not ready'}
end
local LEAVING = -2
local moves = redis.call('EXISTS', K.moving) == 1
local leave = redis.call('EXISTS', K.leaving) == 1
local trimmed = meta('trimmed')

local function kind_of(id)
    local record = redis.call('HGET', K.jobs, id)
    if record then
        return (read_places(record))
    end
    local removal = leave and redis.call('ZSCORE', K.leaving, id)
    return removal and tonumber(removal) > trimmed and LEAVING or -1
end

local result = {'ok', lineage()}
for i = ids_at, #args do
    if moves and redis.call('HEXISTS', K.moving, args[i]) == 1 then
        return {'moving'}
    end
    local holder = redis.call('GET', K.claim .. args[i])
    if holder and holder ~= token then
        return {'claimed'}
    end
    result[#result + 1] = kind_of(args[i])
end
local ends = number(clock_ms() + lasts)
for i = ids_at, #args do
    redis.call('SET', K.claim .. args[i], token, 'PXAT', ends)
end
return result
