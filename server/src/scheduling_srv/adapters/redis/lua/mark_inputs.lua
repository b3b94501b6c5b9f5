--!include base marker outbox
--!args token now:int
-- Recovery: Kafka does not know how far the listener is, so it is told.
-- Returns: 'ok' | lost()
if not owns(token) then
    return lost()
end
emit_all_inputs(now)
flush()
return 'ok'
