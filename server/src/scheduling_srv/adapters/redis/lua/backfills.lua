--!include base
--!args token
-- The backfills that may add runs.
-- Returns: 'ok' | lost(), for each: job id, record, next nominal ms, end, number of runs that it may add
if not owns(token) then
    return {lost()}
end
local AT_ONCE = 20
local result, found = {'ok'}, redis.call('HGETALL', K.backfills)
for i = 1, #found, 2 do
    local backfill = cjson.decode(found[i + 1])
    local room = backfill.limit - (backfill.added - backfill.ended)
    if room > 0 and #result < 5 * AT_ONCE then
        local record = redis.call('HGET', K.jobs, found[i])
        if record then
            push(result, found[i], record)
            push(result, number(backfill.next), number(backfill['until']))
            result[#result + 1] = number(room)
        end
    end
end
return result
