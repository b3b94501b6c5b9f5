--!include base listing member opening run_rows tallies
-- Walks over runs, the newest first: over all of them, or over those of one job.
local IN_LIMITS, IN_RETRIES, IN_RUNNING, IN_STARTED, IN_HISTORY = 1, 2, 3, 4, 5 -- sections of a list, in their order
local AT_ONCE = 100
local begin, after_score, after_tag -- of the place to start after; nil: from the beginning

local function start_after(cursor)
    begin, after_score, after_tag = string.match(cursor, '^(%d) (%d+) (%w+)$')
    begin, after_score = tonumber(begin or IN_LIMITS), tonumber(after_score)
end

-- The part of a member that tells it apart, in an order that no locale changes.
local function tag_of_place(text)
    local size = is_next_run(string.byte(text, MEMBER_SIZE)) and MEMBER_SIZE or RUN_MEMBER_SIZE
    return (string.gsub(string.sub(text, 1, size), '.', function(byte)
        return string.format('%02x', string.byte(byte))
    end))
end

local function tag_of_number(text)
    return text
end

-- The index of the first member that was shown.
local function index_shown(key, low, high, tag_of)
    low = math.max(low, redis.call('ZCOUNT', key, '-inf', '(' .. number(after_score)))
    high = math.min(high, low + redis.call('ZCOUNT', key, number(after_score), number(after_score)))
    while low < high do
        local middle = math.floor((low + high) / 2)
        if tag_of(redis.call('ZRANGE', key, middle, middle)[1]) < after_tag then
            low = middle + 1
        else
            high = middle
        end
    end
    return low
end

-- Calls see(member, score) for the members from one index to another, downwards, until the page ends:
-- then it returns true.
local function walk_down(section, key, low, high, tag_of, see)
    if after_score then
        high = index_shown(key, low, high, tag_of)
    end
    while high > low do
        local first = math.max(low, high - AT_ONCE)
        local found = redis.call('ZRANGE', key, first, high - 1, 'WITHSCORES')
        for i = #found - 1, 1, -2 do
            if is_used_up() then
                return end_page()
            end
            last = section .. ' ' .. number(tonumber(found[i + 1])) .. ' ' .. tag_of(found[i])
            budget.looks = budget.looks - 1
            see(found[i], tonumber(found[i + 1]))
        end
        high = first
    end
end

local function walk_all(section, key, tag_of, see)
    return walk_down(section, key, 0, redis.call('ZCARD', key), tag_of, see)
end

local function walk_of(section, key, seq, tag_of, see)
    local low = redis.call('ZCOUNT', key, '-inf', '(' .. number(seq))
    return walk_down(section, key, low, low + redis.call('ZCOUNT', key, seq, seq), tag_of, see)
end

-- Calls the sections in order, from the place to start after on, until the page ends.
local function walk_sections(sections)
    for section = begin, budget.jobs > 0 and #sections or 0 do
        if sections[section] and sections[section]() then
            return
        end
        after_score, after_tag = nil, nil
    end
end

-- The occurrence of a job that comes next, if it is held.
local function walk_next(id, seq)
    for _, kind in ipairs({NEXT, MISSED}) do
        local text = member(seq, kind, id)
        local nominal = not after_score and redis.call('ZSCORE', K.waiting, text)
        if nominal then
            if is_used_up() then
                return end_page()
            end
            last = IN_LIMITS .. ' ' .. nominal .. ' ' .. tag_of_place(text)
            consider_waiting(text, tonumber(nominal), BY_LIMIT)
        end
    end
end

local function walk_history_of(id)
    for _, serial in ipairs(serials_of(id)) do
        if not after_score or serial < after_score then
            if is_used_up() then
                return end_page()
            end
            last = IN_HISTORY .. ' ' .. number(serial) .. ' ' .. number(serial)
            consider_ended(serial)
        end
    end
end

local function see_own_retry(text)
    consider_retry(text, true)
end

local function see_own_run(instance)
    consider_unanswered(instance)
end

-- The sections of open runs of a job.
local function open_sections_of(id, seq)
    complete_open()
    return {
        function() return walk_next(id, seq) end,
        function() return walk_of(IN_RETRIES, K.retries, seq, tag_of_place, see_own_retry) end,
        function() return walk_of(IN_RUNNING, K.open, seq, tag_of_number, see_own_run) end,
    }
end
