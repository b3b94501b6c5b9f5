--!include base lists outbox
--!args token own
-- Drops the next piece of a list that is not decided: its caller has given it up, or has died.
-- `own`: '1' if the caller's own list.
-- Returns: 'ok' | 'not ready', 'open' (others wait for its caller) | 'decided' | 'dropped' (there
--          may be more) | 'gone'
if not is_ready() then
    return {'not ready'}
end
local list = read_list(token)
if list.state == 'gone' or list.state == 'decided' then
    redis.call(list.state == 'gone' and 'SREM' or 'SADD', K.lists, token)
    return {'ok', list.state}
end
local is_possible = list.state == 'open' and list.clears == clears() -- it may still be decided
if is_possible and own ~= '1' and clock() < list.lasts then
    return {'ok', 'open'}
end
redis.call('HSET', K.list .. token, 'state', 'dropped') -- its caller keeps and decides nothing more
each_job_of(redis.call('HGET', K.list .. token, number(list.next)) or '', function(id)
    unmark(token, id)
end)
grouped = true
end_piece(token, list)
flush()
return {'ok', 'dropped'}
