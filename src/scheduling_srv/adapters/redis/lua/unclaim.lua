--!include base
-- Gives claims back.
-- ARGV: token, ids ...
-- Returns: 'ok'
for i = 2, #ARGV do
    if redis.call('GET', K.claim .. ARGV[i]) == ARGV[1] then
        redis.call('DEL', K.claim .. ARGV[i])
    end
end
return {'ok'}
