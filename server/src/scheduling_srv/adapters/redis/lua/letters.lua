--!include base
--!args names...
-- Which dead letters were replayed, and which are hidden.
-- `names`: `partition:offset topic id`.
-- Returns: 'ok' | 'not ready', how many are noted as replayed, then for each '1' | '0' (replayed),
--          '1' | '0' (hidden)
if not is_ready() then
    return {'not ready'}
end
local found = {'ok', redis.call('ZCARD', K.replayed)}
for i = names_at, #args do
    found[#found + 1] = redis.call('ZSCORE', K.replayed, args[i]) and '1' or '0'
    found[#found + 1] = redis.call('ZSCORE', K.hidden, args[i]) and '1' or '0'
end
return found
