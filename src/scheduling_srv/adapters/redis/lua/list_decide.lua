--!include base job member limits outbox marker order remove input definition keeping replacing writing putting lists
-- Decides that a long list is applied, all of it.
-- ARGV: now, partition or '', stored offset, next offset, lineage, token, number of its pieces
-- Returns: 'ok' | 'not ready' | 'stale' | 'gone' (it was dropped, or a clear came between), last entry, lineage
if not is_ready() then
    return {'not ready'}
end
if not is_next(ARGV[2], ARGV[3], ARGV[5]) then
    return {'stale'}
end
local token = ARGV[6]
local list = read_list(token)
if list.state ~= 'open' or list.last ~= tonumber(ARGV[7]) or list.clears ~= clears() then
    return {'gone'}
end
local seq = number(claim_seqs(1) + 1) -- a clear that comes later makes it void
redis.call('HSET', K.list .. token, 'state', 'decided', 'seq', seq)
emit_piece(token, 0, seq)
advance(ARGV[2], ARGV[4], tonumber(ARGV[1]))
return {'ok', flush(), lineage()}
