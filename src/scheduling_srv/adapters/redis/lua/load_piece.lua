--!include base job outbox lists
-- Rebuild: a piece of a long list that may not have been applied, or its decision. They come in any order.
-- ARGV: token of the lease, token of the list, number of the piece (0: the decision), its value
-- Returns: 'ok' | lost()
if not owns(ARGV[1]) then
    return lost()
end
local token, piece, value = ARGV[2], tonumber(ARGV[3]), ARGV[4]
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
redis.call('HSET', key, 'next', number(next), 'last', number(math.max(list.last, piece)), ARGV[3], value)
each_of(value, function(id)
    redis.call('HSET', K.moving, id, token)
end)
return 'ok'
