--!include base job listing run_rows run_walk
--!args cursor limit:int bytes:int reads:int looks:int
--!args job states type outcomes origins from:int to:int problem
-- One page of runs, the newest first in each section: those that `parallel` holds, those that rest or
-- wait for their retry, unanswered ones, those with a deadline of their own after the others, and the
-- history.
-- `cursor`: place to start after, or ''. `limit`: runs. `bytes`, `reads` and `looks`: the page ends
-- after so many bytes, records and members of an index. The rest: '' for any. `states`: of 'H' (held),
-- 'R' (running), 'T' (waits for a retry), 'E' (ended). `outcomes`, `origins`: digits. `from` and `to`:
-- nominal ms. `problem`: the whole error.
-- Returns: 'ok' | 'not ready', '', where to go on or '', then for each run: place, letter of what it
--          is in (lib/run_rows.lua), RAN, ms of the next attempt or ''
if not is_ready() then
    return {'not ready'}
end
asked = {states = states, type = type, outcomes = outcomes, origins = origins, from = from, to = to, problem = problem}
budget = {jobs = limit, bytes = bytes, reads = reads, looks = looks}
start_after(cursor)

local function see_held(text, nominal)
    consider_waiting(text, nominal, BY_LIMIT)
end

local function see_retry(text)
    consider_retry(text, false)
end

local function see_run(instance, start)
    consider_unanswered(instance, start)
end

local function see_ended(serial)
    consider_ended(tonumber(serial))
end

local function all_sections()
    return {
        function() return walk_all(IN_LIMITS, K.waiting, tag_of_place, see_held) end,
        function() return walk_all(IN_RETRIES, K.retries, tag_of_place, see_retry) end,
        function() return walk_all(IN_RUNNING, K.running, tag_of_number, see_run) end,
        function() return walk_all(IN_STARTED, K.started, tag_of_number, see_run) end,
        function() return walk_all(IN_HISTORY, K.ended, tag_of_number, see_ended) end,
    }
end

local function sections_of_job()
    local record = redis.call('HGET', K.jobs, job)
    local sections = record and open_sections_of(job, read_seq(record)) or {false, false, false}
    sections[IN_STARTED] = false
    sections[IN_HISTORY] = function() return walk_history_of(job) end
    return sections
end

local sections = job == '' and all_sections() or sections_of_job()
for section, letters in ipairs({'H', 'HT', 'R', 'R', 'E'}) do
    local is_asked = states == '' or string.find(states, '[' .. letters .. ']')
    if not is_asked or (section < IN_HISTORY and not wants_open()) then
        sections[section] = false
    end
end
walk_sections(sections)
return page
