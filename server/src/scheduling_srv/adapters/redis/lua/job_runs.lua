--!include base finishing job listing opening ran run_walk states tallies waiting
--!args most:int ids...
-- What became of the runs of jobs.
-- `most`: open runs of a job that are shown.
-- Returns: 'ok' | 'not ready', then for each job that is there: id, numbers of runs by outcome and of
--          those that were emitted and are open, and that have counted, RAN of the last one that ended or '', rows of open
--          runs as of `list_runs.lua`
if not is_ready() then
    return {'not ready'}
end

local function open_rows(id, seq)
    page = {'', '', ''}
    budget = {jobs = most, bytes = BUDGET, reads = 2 * most, looks = 10 * most}
    start_after('')
    walk_sections(open_sections_of(id, seq))
    return {unpack(page, 4)}
end

local result = {'ok'}
for i = ids_at, #args do
    local id = args[i]
    local record = redis.call('HGET', K.jobs, id)
    if record then
        local job, tally = read_job(record), read_tally(redis.call('HGET', K.tallies, id))
        local seq = job.seq
        local serials = serials_in(tally.serials)
        complete_open()
        local newest = #serials > 0 and read_ran(serials[#serials])
        push(result, id, {tally[2], tally[3], tally[4], tally[5], tally[6], tally[7], tally[8],
            count_open(seq) + count_waiting(seq), is_counted(job) and state_of(id, seq).counted or 0})
        push(result, newest and newest.text or '', open_rows(id, seq))
    end
end
return result
