--!include base
--!args token
-- Puts cron jobs that are set aside back among those to be planned: a newer version may understand
-- them.
-- Returns: 'ok' | lost(), how many are still set aside
if not owns(token) then
    return {lost()}
end
local found = redis.call('ZPOPMIN', K.aside, BATCH)
local places = {}
for i = 1, #found, 2 do
    push(places, found[i + 1], found[i])
end
in_batches('ZADD', K.plan, places, 2)
return {'ok', redis.call('ZCARD', K.aside)}
