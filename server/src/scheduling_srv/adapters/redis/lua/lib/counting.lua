--!include base
-- Sorted sets that say which places hold jobs, and how many: lists of creation numbers, or blocks of
-- lists. Changes of a call are gathered.
local COUNTS = 256 -- scores are list * COUNTS + jobs in it
local BLOCK_COUNTS = 16384 -- the same for blocks
local ALL = 'all' -- the member that counts them all; its score is below zero
local in_lists, in_blocks = {}, {} -- key -> place -> change

local function count_in(counts, key, place, change)
    local places = counts[key] or {}
    counts[key], places[place] = places, (places[place] or 0) + change
end

local function count_list(key, list, change)
    count_in(in_lists, key, list, change)
end

local function count_block(key, block, change)
    count_in(in_blocks, key, block, change)
end

local function save_count(key, changes, unit)
    local total = 0
    for place, change in pairs(changes) do
        if change ~= 0 then
            local empty, name = place * unit, number(place)
            local score = tonumber(redis.call('ZINCRBY', key, change, name))
            if score == empty then
                redis.call('ZREM', key, name)
            elseif score == change and empty > 0 then -- it was not there
                redis.call('ZADD', key, number(empty + change), name)
            end
            total = total + change
        end
    end
    if total ~= 0 and tonumber(redis.call('ZINCRBY', key, -total, ALL)) == 0 then
        redis.call('ZREM', key, ALL)
    end
end

local function save_counts()
    for key, changes in pairs(in_lists) do
        save_count(key, changes, COUNTS)
    end
    for key, changes in pairs(in_blocks) do
        save_count(key, changes, BLOCK_COUNTS)
    end
    in_lists, in_blocks = {}, {}
end

local function count_listed(key)
    return -tonumber(redis.call('ZSCORE', key, ALL) or '0')
end
