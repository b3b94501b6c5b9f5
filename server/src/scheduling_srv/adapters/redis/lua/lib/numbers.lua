--!include base instances numerals
-- Gives runs their numbers.
local NUMBERS_AT_ONCE = 500 -- numbers that are looked at in one call
local FEW = 2147483648 -- fewer have not come round
local free, names, looked_at, numbered = {}, {}, nil, nil
local to_name = numerals()
local are_all_free = false -- whether no unanswered run has one of the next numbers

-- `last`: the number that was given last. `certificate`: '<number> <token>': when that number was the
-- last one, this owner saw no unanswered run. All there are have later ones, which it gave in order. So
-- the next numbers are free, as long as they have not come round.
local function note_numbers(last, certificate, token)
    looked_at = last
    local since, of = string.match(certificate, '^(%d+) (.*)$')
    are_all_free = of == token and distance(tonumber(since), last) < FEW
    if not are_all_free and redis.call('EXISTS', K.runs) == 0 then
        redis.call('HSET', K.meta, 'unanswered_since', number(last) .. ' ' .. token)
        are_all_free = true
    end
end

-- Finds numbers that no unanswered run has (docs/contract.md).
local function look_for_numbers(wanted)
    local numbers, texts = {}, {}
    for i = 1, math.min(wanted, NUMBERS_AT_ONCE) do
        looked_at = next_number(looked_at)
        numbers[i], texts[i] = looked_at, to_name(looked_at)
    end
    free.last, free.next = 0, 1
    for i, run in ipairs(redis.call('HMGET', K.runs, unpack(texts))) do
        if not run and numbers[i] > 0 then
            free.last = free.last + 1
            free[free.last], names[free.last] = numbers[i], texts[i]
        end
    end
end

-- A number and its text; 0 would be left out by protobuf. `wanted`: how many more will be claimed, about.
local function claim_instance(wanted)
    if are_all_free then
        repeat
            looked_at = next_number(looked_at)
        until looked_at > 0
        numbered = looked_at
        return looked_at, to_name(looked_at)
    end
    while not free.last or free.next > free.last do
        look_for_numbers(wanted)
    end
    local at = free.next
    free.next, numbered = at + 1, free[at]
    return numbered, names[at]
end
