--!include base
-- Runs as bytes: of the history, and of lists.
local function pack_ran(run)
    return struct.pack(RAN, RAN_VERSION, run.seq, run.nominal, run.started, run.ended, run.instance, run.attempts,
        run.most, run.origin, run.outcome, #run.type, #run.problem) .. run.type .. run.problem .. run.id
end

-- nil: it is not there any more, or a later version has written it.
local function read_ran(serial)
    local text = redis.call('HGET', K.history, number(serial))
    if not text or string.byte(text) ~= RAN_VERSION then
        return nil
    end
    local _, seq, nominal, started, ended, instance, attempts, most, origin, outcome, type_size, size, at =
        struct.unpack(RAN, text)
    return {serial = serial, text = text, seq = seq, nominal = nominal, started = started, ended = ended,
        instance = instance, attempts = attempts, most = most, origin = origin, outcome = outcome,
        type = string.sub(text, at, at + type_size - 1),
        problem = string.sub(text, at + type_size, at + type_size + size - 1),
        id = string.sub(text, at + type_size + size)}
end
