--!include base counting heads job listing matching member opening ranks run
--!args cursor limit:int bytes:int reads:int looks:int
--!args type creator prefix states from:int to:int labels...
-- One page of the jobs that match, by their next due time: those that are held, those that wait,
-- those whose time is being computed or cannot be, those that rest in a pause, and one-time jobs
-- whose run is under way.
-- `cursor`: place to start after, or ''. `looks`: places. The rest: see `list.lua`; a place is
-- '<section> <ms> <rank> <creation number>'.
-- Returns: see `list.lua`
if not is_ready() then
    return {'not ready'}
end
local HELD_RUNS, DUE, PLANNED, ASIDE, RESTING, UNDER_WAY = 1, 2, 3, 4, 5, 6
local AT_ONCE = 100
local wanted = {type = type, creator = creator, labels = labels_from(labels_at), prefix = prefix, states = states,
    from = from, to = to}
local is_all = type == '' and creator == '' and #wanted.labels == 0 and not is_narrow(wanted)
page[2] = is_all and number(count_listed(K.created)) or ''
budget = {jobs = limit, bytes = bytes, reads = reads, looks = looks}

local begin, after_ms, after_rank, after_seq = string.match(cursor, '^(%d) (%d+) (%d) (%d+)$')
begin, after_ms = tonumber(begin or HELD_RUNS), tonumber(after_ms)
after_rank, after_seq = tonumber(after_rank), tonumber(after_seq)

local function count_below(key, score)
    return redis.call('ZCOUNT', key, '-inf', '(' .. number(score))
end

-- Where members follow those of this score and of creation numbers up to `seq`: equal scores stand
-- in order of creation.
local function index_after(key, score, seq)
    local low = count_below(key, score)
    local high = low + redis.call('ZCOUNT', key, number(score), number(score))
    while low < high do
        local middle = math.floor((low + high) / 2)
        local found = read_member(redis.call('ZRANGE', key, middle, middle)[1])
        if found <= seq then
            low = middle + 1
        else
            high = middle
        end
    end
    return low
end

-- Whether a member is the place of its job: a retry or a kept run of a recurring one is not.
local function is_place(seq, kind, origin, record)
    local sort, _, _, its_seq = read_places(record)
    return its_seq == seq and (is_next_run(kind) or kind == PASSED or (sort < INTERVAL and origin == SCHEDULE))
end

-- Whether a run that waits by itself rests: it is neither in `due` nor held by a limit.
local function is_at_rest(text)
    return not redis.call('ZSCORE', K.due, text) and not redis.call('ZSCORE', K.waiting, text)
end

-- Considers the job that a member stands for. Returns true when the page ends.
local function consider_place(of, ms, rank, text)
    if is_used_up() then
        return end_page()
    end
    local seq, kind, id, _, _, origin = read_member(text)
    last = string.format('%d %.0f %d %.0f', of, ms, rank, seq)
    budget.looks = budget.looks - 1
    local record = has_prefix(wanted, id) and read_record(id)
    if record and is_place(seq, kind, origin or SCHEDULE, record) and (of ~= RESTING or is_at_rest(text)) then
        consider_job(wanted, last, id, record)
    end
end

-- A sorted set whose scores are ms. Returns true when the page ends.
local function list_set(of, key)
    local at = after_ms and index_after(key, after_ms, after_seq) or 0
    local head = head_of(key, at, redis.call('ZCARD', key))
    while head.text do
        if consider_place(of, head.score, 0, head.text) then
            return true
        end
        head.next()
    end
end

local function rank_head(rank)
    local from, at = rank * RANK, nil
    if not after_ms or rank > after_rank then
        at = count_below(K.due, from + (after_ms or 0))
    elseif rank < after_rank then
        at = count_below(K.due, from + after_ms + 1)
    else
        at = index_after(K.due, from + after_ms, after_seq)
    end
    return head_of(K.due, at, count_below(K.due, from + RANK))
end

-- The five ranks of `due`, merged by time.
local function list_due()
    local heads, lowest, highest = {}, ranks()
    for rank = lowest, highest do
        heads[rank] = rank_head(rank)
    end
    while true do
        local first, due
        for rank = lowest, highest do
            local ms = heads[rank].text and heads[rank].score - rank * RANK
            if ms and (not due or ms < due) then
                first, due = rank, ms
            end
        end
        if not first then
            return
        elseif consider_place(DUE, due, first, heads[first].text) then
            return true
        end
        heads[first].next()
    end
end

local function consider_run(seq, id)
    if is_used_up() then
        return end_page()
    end
    last = string.format('%d 0 0 %.0f', UNDER_WAY, seq)
    budget.looks = budget.looks - 1
    local record = has_prefix(wanted, id) and read_record(id)
    if record then
        local kind, _, _, its_seq = read_places(record)
        if kind == ONCE and its_seq == seq then
            consider_job(wanted, last, id, record)
        end
    end
end

-- Of one-time jobs: a run is unanswered, so none waits.
local function list_under_way()
    complete_open()
    while true do
        local from = after_seq and '(' .. number(after_seq) or '-inf'
        local found = redis.call('ZRANGE', K.open, from, '+inf', 'BYSCORE', 'LIMIT', 0, AT_ONCE, 'WITHSCORES')
        for i = 1, #found, 2 do
            local seq = tonumber(found[i + 1])
            local run = seq ~= after_seq and redis.call('HGET', K.runs, found[i])
            if run and consider_run(seq, run_id(run)) then
                return true
            end
            after_seq = seq
        end
        if #found == 0 then
            return
        end
    end
end

local sections = {
    function() return list_set(HELD_RUNS, K.waiting) end,
    list_due,
    function() return list_set(PLANNED, K.plan) end,
    function() return list_set(ASIDE, K.aside) end,
    function() return meta('resting') > 0 and list_set(RESTING, K.retries) end,
    list_under_way,
}
for of = begin, limit > 0 and #sections or 0 do
    if sections[of]() then
        break
    end
    after_ms, after_rank, after_seq = nil, nil, nil
end
return page
