--!include base job member outbox marker input
-- Begins a partition, or begins it anew when its topic was.
-- ARGV: partition, next offset, now
-- Returns: 'ok' | 'not ready'
if not is_ready() then
    return {'not ready'}
end
advance(ARGV[1], ARGV[2], tonumber(ARGV[3]))
flush()
return {'ok'}
