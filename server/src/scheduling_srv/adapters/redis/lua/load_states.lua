--!include base job states
--!args token counts...
--!row count id seq:int nominal:int counted:int
-- Rebuild: how many runs of jobs with `max_runs` have counted. All jobs are loaded before.
-- `nominal`: of the last one of them.
-- Returns: how many of the jobs are there | lost()
if not owns(token) then
    return lost()
end
local loaded = 0
for i = counts_at, #args, COUNT_ROW do
    local id, seq, nominal, counted = count_row(i)
    local record = redis.call('HGET', K.jobs, id)
    local job = record and read_seq(record) == seq and read_job(record)
    if job and is_counted(job) then
        local state = state_of(id, seq)
        if counted > state.counted then
            state.last, state.counted = nominal, counted
            save_state(id, seq, state)
        end
        loaded = loaded + 1
    end
end
return loaded
