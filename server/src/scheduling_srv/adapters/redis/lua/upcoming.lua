--!include base heads job listing matching member ranks standing states
--!args now:int until_ms:int limit:int bytes:int reads:int looks:int
--!args type creator prefix states from:int to:int labels...
-- What is due from `now` to `until_ms`, both in ms, by time; nothing of what is paused.
-- `limit`: places. The rest: see `due_list.lua`.
-- Returns: 'ok' | 'not ready', '', '1' if there is more or '', then for each place: id, record, due ms,
--          nominal ms if it is the next occurrence, else '', runs of the job that have counted
if not is_ready() then
    return {'not ready'}
end
local wanted = {type = type, creator = creator, labels = labels_from(labels_at), prefix = prefix, states = states,
    from = from, to = to}
budget = {jobs = limit, bytes = bytes, reads = reads, looks = looks}

local function add_place(due, text)
    local seq, kind, id = read_member(text)
    budget.looks = budget.looks - 1
    local record = has_prefix(wanted, id) and read_record(id)
    if not record or read_seq(record) ~= seq then
        return
    end
    local state, _, nominal = match(wanted, id, record)
    if state and state ~= PAUSED then
        local job = read_job(record)
        push(page, id, record)
        push(page, number(due), is_next_run(kind) and nominal and number(nominal) or '')
        page[#page + 1] = number(is_counted(job) and state_of(id, seq).counted or 0)
        budget.jobs = budget.jobs - 1
    end
end

local heads, lowest, highest = {}, ranks()
for rank = lowest, highest do
    local from_index = redis.call('ZCOUNT', K.due, '-inf', '(' .. number(rank * RANK + now))
    heads[rank] = head_of(K.due, from_index, redis.call('ZCOUNT', K.due, '-inf', number(rank * RANK + until_ms)))
end

-- The rank whose next place is due first, and when; nil: no place is left.
local function first_rank()
    local first, due
    for rank = lowest, highest do
        local ms = heads[rank].text and heads[rank].score - rank * RANK
        if ms and (not due or ms < due) then
            first, due = rank, ms
        end
    end
    return first, due
end

local rank, due = first_rank()
while rank do
    if is_used_up() then
        page[3] = '1'
        break
    end
    add_place(due, heads[rank].text)
    heads[rank].next()
    rank, due = first_rank()
end
return page
