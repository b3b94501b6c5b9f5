--!include base
-- Rebuild: drops keys of the old content.
-- ARGV: token, keys ...
-- Returns: 'ok' | lost()
if not owns(ARGV[1]) then
    return lost()
end
redis.call('UNLINK', unpack(ARGV, 2))
return 'ok'
