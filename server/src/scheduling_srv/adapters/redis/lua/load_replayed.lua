--!include base
--!args token names...
-- Rebuild: dead letters that were replayed, as `partition:offset topic id`.
-- Returns: how many are loaded | lost()
if not owns(token) then
    return lost()
end
for i = names_at, #args do
    redis.call('ZADD', K.replayed, string.match(args[i], '^%d+:(%d+) '), args[i])
end
return #args - names_at + 1
