--!args token ids...
-- Gives claims back.
-- Returns: 'ok'
for i = ids_at, #args do
    if redis.call('GET', K.claim .. args[i]) == token then
        redis.call('DEL', K.claim .. args[i])
    end
end
return {'ok'}
