--!include base
-- Instance ids: the numbers of runs.
local NUMBERS_AT_ONCE = 500 -- numbers that are looked at in one call
local free, looked_at, numbered = {}, nil, nil

-- Of several shards each has numbers of its own: an answer names its shard by them.
local function next_number(last)
    local next = (last + 1) % 4294967296
    if SHARDS > 1 then
        next = next + (SHARD - next) % SHARDS
        next = next < 4294967296 and next or SHARD
    end
    return next
end

-- Finds numbers that no unanswered run has (docs/contract.md). 0 would be left out by protobuf.
local function look_for_numbers(wanted)
    local numbers, names = {}, {}
    for i = 1, math.min(wanted, NUMBERS_AT_ONCE) do
        looked_at = next_number(looked_at or meta('instance'))
        numbers[i], names[i] = looked_at, number(looked_at)
    end
    free.last, free.next = 0, 1
    for i, run in ipairs(redis.call('HMGET', K.runs, unpack(names))) do
        if not run and numbers[i] > 0 then
            free.last = free.last + 1
            free[free.last] = numbers[i]
        end
    end
end

-- `wanted`: how many more will be claimed, about.
local function claim_instance(wanted)
    while not free.last or free.next > free.last do
        look_for_numbers(wanted)
    end
    free.next, numbered = free.next + 1, free[free.next]
    return numbered
end
