--!include base job member limits outbox remove writing putting
-- Restores jobs without announcing them; what is there with the same definition, or newer, is left alone.
-- ARGV: newest seq that may be replaced, number of ids to remove, those ids, then for each job: id, due ms, record
-- Returns: 'ok' | 'not ready', last entry, incarnation
if not is_ready() then
    return {'not ready'}
end
local last, removed = tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 3, 2 + removed do
    local job = find(ARGV[i])
    if job and job.kind ~= NOW and job.seq <= last then
        remove_job(ARGV[i], job)
        emit_deleted(ARGV[i], false)
    end
end
local first
for i = 3 + removed, #ARGV, 3 do
    local old = redis.call('HGET', K.jobs, ARGV[i])
    if not old or (read_seq(old) <= last and definition(old) ~= definition(ARGV[i + 2])) then
        if old then
            remove_job(ARGV[i], read_job(old))
        end
        local due = put('silent', i, 1)
        first = math.min(first or due, due)
    end
end
return {'ok', flush(first), redis.call('HGET', K.meta, 'incarnation')}
