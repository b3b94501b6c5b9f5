--!include base lists
--!args lease token piece:int value
-- Rebuild: a piece of a long list that may not have been applied, or its decision. They come in any
-- order.
-- `lease`: token of the owner. `token`: of the list. `piece`: 0 for the decision.
-- Returns: 'ok' | lost()
if not owns(lease) then
    return lost()
end
local key = K.list .. token
redis.call('SADD', K.lists, token)
if piece == 0 then
    redis.call('HSET', key, 'state', 'decided', 'seq', value)
    return 'ok'
end
local list = read_list(token)
if list.state == 'gone' then
    redis.call('HSET', key, 'state', 'dropped') -- unless its decision comes as well
end
local next = list.last == 0 and piece or math.min(list.next, piece)
local last = math.max(list.last, piece)
redis.call('HSET', key, 'next', number(next), 'last', number(last), number(piece), value)
each_job_of(value, function(id)
    redis.call('HSET', K.moving, id, token)
end)
return 'ok'
