--!include base input lists outbox putting
--!args now:int partition expected position known token pieces:int
-- Decides that a long list is applied, all of it.
-- `partition` to `known`: see `input.lua`.
-- `pieces`: how many the list has.
-- Returns: 'ok' | 'not ready' | 'stale' | 'gone' (it was dropped, or a clear came between), last
--          entry, lineage
if not is_ready() then
    return {'not ready'}
end
if not is_next(partition, expected, known) then
    return {'stale'}
end
local list = read_list(token)
if list.state ~= 'open' or list.last ~= pieces or list.clears ~= clears() then
    return {'gone'}
end
local seq = number(claim_seqs(1) + 1) -- a clear that comes later makes it void
redis.call('HSET', K.list .. token, 'state', 'decided', 'seq', seq)
emit_piece(token, 0, seq)
advance(partition, position, now)
return {'ok', flush(), lineage()}
