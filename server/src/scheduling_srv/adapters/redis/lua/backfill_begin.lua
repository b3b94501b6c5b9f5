--!include backfills base job outbox requests
--!args bounds id seq:int next:int until_ms:int limit:int request answer
-- Begins a backfill; the owner adds its runs piece by piece.
-- `seq`: creation number of the job that the caller has seen. `next` and `until_ms`: nominal ms, the
-- second does not count any more. `limit`: runs in flight. `request`, `answer`: kept, see
-- `requests.lua`.
-- Returns: 'ok' | 'not ready' | 'old' (the store has an earlier format) | 'full' | 'gone' (the job, or
--          it was updated) | 'busy' (the job has one) | 'many', last entry, lineage, the answer
local MOST = 1000
if not is_ready() then
    return {'not ready'}
end
if not has_format(2) then
    return {'old'}
end
local known = recall(request)
if known then
    return {'ok', flush(), lineage(), known}
end
if is_full(bounds) then
    return {'full'}
end
local record = redis.call('HGET', K.jobs, id)
if not record or read_seq(record) ~= seq or not is_resource((read_places(record))) then
    return {'gone'}
end
if backfill_of(id, seq) then
    return {'busy'}
end
if redis.call('HLEN', K.backfills) >= MOST then
    return {'many'}
end
save_backfill(id, {seq = seq, next = next, ['until'] = until_ms, limit = limit, added = 0, ended = 0}, true)
keep_answer(request, answer)
redis.call('PUBLISH', K.wake, 'backfill')
return {'ok', flush(), lineage(), answer}
