--!include base
--!args token
-- Recovery: an older version may have filled the outbox. It has not noted its runs, nor how long
-- its entries are.
-- Returns: 'ok' | lost()
if not owns(token) then
    return lost()
end
redis.call('HSET', K.meta, 'last_run', number(meta('tail')))
if redis.call('LLEN', K.outbox) > 0 then
    redis.call('HSETNX', K.meta, 'outbox_longest', BUDGET / 4)
end
return 'ok'
