--!include base matching
-- Collects a page of a list: no more jobs than `limit`, and no more bytes, records and entries than
-- its budget.
local page = {'ok', '', ''} -- 'ok', the total, where to go on; then the rows

-- `last`: the place that was looked at last, in the order of the list.
local budget, last = {}, nil

local function is_used_up()
    return budget.jobs <= 0 or budget.bytes <= 0 or budget.reads <= 0 or budget.looks <= 0
end

-- There is more after the last place.
local function end_page()
    page[3] = last
    return true
end

local function read_record(id)
    local record = redis.call('HGET', K.jobs, id)
    budget.reads, budget.bytes = budget.reads - 1, budget.bytes - (record and #record or 0)
    return record
end

-- Adds the job if it is shown.
local function consider_job(wanted, place, id, record)
    if not record then
        return
    end
    local state, due, nominal = match(wanted, id, record)
    if state then
        push(page, place, id)
        push(page, record, state)
        push(page, due and number(due) or '', nominal and number(nominal) or '')
        budget.jobs = budget.jobs - 1
    end
end
