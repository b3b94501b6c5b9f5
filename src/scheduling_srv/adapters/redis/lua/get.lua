--!include base
-- Jobs by their ids.
-- ARGV: ids ...
-- Returns: 'ok' | 'not ready', then for each id: record or nil
if not is_ready() then
    return {'not ready'}
end
return {'ok', unpack(redis.call('HMGET', K.jobs, unpack(ARGV)))}
