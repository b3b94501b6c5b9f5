--!include base job member outbox marker
-- Recovery: Kafka does not know how far the listener is, so it is told.
-- ARGV: token, now
-- Returns: 'ok' | lost()
if not owns(ARGV[1]) then
    return lost()
end
emit_all_inputs(tonumber(ARGV[2]))
flush()
return 'ok'
