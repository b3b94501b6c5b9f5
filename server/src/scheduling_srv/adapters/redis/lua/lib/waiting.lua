--!include base member
-- Counts the runs of a job that wait by themselves. The members of `retries` stand in the order of their
-- kinds: retries, then first attempts, then the occurrence that has passed in a pause.
local READ_AT_ONCE = 200 -- members; of a job with more the borders of the kinds are looked for

-- The index of the first member of a job that has this kind or a later one. `low` and `high`: those of
-- the job.
local function border_of(low, high, kind)
    while low < high do
        local middle = math.floor((low + high) / 2)
        local _, its_kind = read_place(redis.call('ZRANGE', K.retries, middle, middle)[1])
        if its_kind < kind then
            low = middle + 1
        else
            high = middle
        end
    end
    return low
end

-- Of these members, how many are retries, and how many first attempts that wait. An occurrence that was
-- emitted or has passed is noted among them, as attempt 0: it is neither.
local function count_members(members)
    local retries, firsts = 0, 0
    for _, text in ipairs(members) do
        local _, kind, _, attempt = read_place(text)
        if kind < KEPT then
            retries = retries + 1
        elseif attempt == 1 then
            firsts = firsts + 1
        end
    end
    return retries, firsts
end

-- Where the first attempts of a job that its schedule has named begin, and what follows them; then where
-- its members begin. `size`: how many members it has.
local function find_kept(seq, size)
    local low = redis.call('ZCOUNT', K.retries, '-inf', '(' .. number(seq))
    size = size or redis.call('ZCOUNT', K.retries, seq, seq)
    local kept = border_of(low, low + size, KEPT)
    return kept, border_of(kept, low + size, MANUAL), low
end

local function count_by_borders(seq, size)
    local kept, others, low = find_kept(seq, size)
    local firsts = border_of(others, low + size, PASSED) - others
    for first = kept, others - 1, READ_AT_ONCE do
        local last = math.min(first + READ_AT_ONCE, others) - 1
        local _, some = count_members(redis.call('ZRANGE', K.retries, first, last))
        firsts = firsts + some
    end
    return kept - low, firsts
end

-- How many retries of a job wait, and how many first attempts.
local function count_waiting(seq)
    local size = redis.call('ZCOUNT', K.retries, seq, seq)
    if size == 0 then
        return 0, 0
    elseif size > READ_AT_ONCE then
        return count_by_borders(seq, size)
    end
    return count_members(redis.call('ZRANGE', K.retries, seq, seq, 'BYSCORE'))
end
