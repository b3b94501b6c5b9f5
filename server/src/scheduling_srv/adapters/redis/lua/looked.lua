--!include base
--!args now:int
-- The owner has looked until `now`, as a test clock sees to (decision 35): what is due now was not
-- missed in an outage.
-- Returns: 'ok'
redis.call('HSET', K.meta, 'watermark', number(now))
return 'ok'
