--!include base due
-- Whether due runs make progress. Changes nothing.
-- Returns: 'ok' | 'not ready', '1' if the owner's loops work, earliest due ms or '' (nothing waits
--          for its time), entries in the outbox, ms since the outbox last advanced or began to fill
if not is_ready() then
    return {'not ready'}
end
local idle = tonumber(clock_ms()) - meta('moved_at')
return {'ok', redis.call('EXISTS', K.emitting) == 1 and '1' or '0', next_due(), redis.call('LLEN', K.outbox), idle}
