--!include answer base cancelling marker outbox within
--!args now:int dry within runs...
--!row target id seq:int nominal:int origin:int instance:int attempt:int
-- Cancels open runs; others are no error.
-- `dry`: '1' to count only. `runs`: each once. `instance`, `attempt`: where the run was last seen,
-- unanswered or waiting for this attempt; 0: not known. `within`: see `within.lua`.
-- Returns: 'ok' | 'not ready' | 'old' (the store has an earlier format), last entry, lineage, number
--          of runs that it has come to, number of those that were open
local MOST_BYTES = BUDGET / 2 -- of the jobs of one call
local MOST_LOOKED = 5000 -- members; a single run may take more
if not is_ready() or redis.call('HEXISTS', K.meta, 'open_from') == 1 then
    return {'not ready'}
end
if not has_format(2) then
    return {'old'}
end
complete_open() -- it may end the call, so before anything is cancelled
local looked_at, open = 0, 0
local limits = limits_in(within)
for i = runs_at, #args, TARGET_ROW do
    local id, seq, nominal, origin, instance, attempt = target_row(i)
    if emitted + bytes_read > MOST_BYTES or looked > MOST_LOOKED then
        break
    end
    if cancel(id, seq, nominal, origin, instance, attempt, now, dry == '1', limits) then
        open = open + 1
    end
    looked_at = looked_at + 1
end
save_ended()
if #entries > 0 then
    grouped = true -- a rebuild must not know a part of it
    emit_marker(now)
end
return {'ok', flush(open > 0 and now or nil), lineage(), looked_at, open}
