--!include base
--!args token doomed...
-- Rebuild: drops keys of the old content.
-- Returns: 'ok' | lost()
if not owns(token) then
    return lost()
end
redis.call('UNLINK', unpack(args, doomed_at))
return 'ok'
