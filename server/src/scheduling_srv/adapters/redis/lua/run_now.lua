--!include base by_hand job outbox requests within
--!args now:int bounds most:int request extra within ids...
-- Adds a run by hand to each of these jobs. Unknown ids are no error.
-- `bounds`: see `is_full`. `most`: waiting runs of a job. `request`: name under which the answer is
-- kept, or ''. `extra`: JSON that is kept with it. `within`: see `within.lua`.
-- Returns: 'ok' | 'not ready' | 'old' (the store has an earlier format) | 'full' | 'busy' (too many
--          runs of a job wait), last entry, lineage, JSON of the answer: `extra` and `runs`, each with
--          id, creation number, nominal ms and type
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
local found, limits = {}, limits_in(within)
local last_void = math.max(meta('reset'), meta('cleared'))
for i = ids_at, #args do
    local record = redis.call('HGET', K.jobs, args[i])
    local job = record and read_job(record)
    if job and is_resource(job.kind) and job.seq > last_void and is_within(limits, record) then
        if redis.call('ZCOUNT', K.retries, job.seq, job.seq) >= most then
            return {'busy', args[i]}
        end
        push(found, args[i], job)
    end
end
local runs = {}
for i = 1, #found, 2 do
    local id, job = found[i], found[i + 1]
    local nominal = nominal_by_hand(job.seq, now)
    add_run(id, job, nominal, BY_HAND, now)
    runs[#runs + 1] = {id, number(job.seq), number(nominal), job.type}
end
local answer = '{"extra":' .. extra .. ',"runs":' .. (#runs > 0 and cjson.encode(runs) or '[]') .. '}'
keep_answer(request, answer)
return {'ok', flush(#runs > 0 and now or nil), lineage(), answer}
