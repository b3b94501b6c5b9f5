--!include base job standing
--!args bytes:int ids...
-- Jobs by their ids, and how they stand.
-- `bytes`: it takes no further jobs after so many.
-- Returns: 'ok' | 'not ready', number of ids that it has come to, then for each job that is there:
--          id, record, state, next due ms or '', nominal ms or '': see `stand`
if not is_ready() then
    return {'not ready'}
end
local result = {'ok', 0}
for i = ids_at, #args do
    if bytes <= 0 then
        break
    end
    local record = redis.call('HGET', K.jobs, args[i])
    local job = record and read_job(record)
    if job and is_resource(job.kind) then
        local state, due, nominal = stand(args[i], job)
        push(result, args[i], record)
        push(result, state, due and number(due) or '')
        result[#result + 1] = nominal and number(nominal) or ''
        bytes = bytes - #record
    end
    result[2] = result[2] + 1
end
return result
