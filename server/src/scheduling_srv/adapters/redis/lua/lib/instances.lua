-- Instance ids, the numbers of runs: they are given in order, and come round.
local NUMBERS = 4294967296

-- Of several shards each has numbers of its own: an answer names its shard by them.
local function next_number(last)
    local next = (last + 1) % NUMBERS
    if SHARDS > 1 then
        next = next + (SHARD - next) % SHARDS
        next = next < NUMBERS and next or SHARD
    end
    return next
end

-- How many numbers lie behind the first one up to the other, those of other shards as well.
local function distance(first, last)
    return (last - first) % NUMBERS
end
