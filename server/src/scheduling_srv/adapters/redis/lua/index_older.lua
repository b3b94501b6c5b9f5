--!include base job order run walk
--!args token most:int
-- Puts unanswered runs into `open`, and jobs that format 1 listed into the indexes of format 2, the
-- newest first.
-- `most`: runs or jobs; it ends with the job that uses up the budget.
-- Returns: 'ok' | lost(), '1' if there may be more
if not owns(token) then
    return {lost()}
end
local cursor = redis.call('HGET', K.meta, 'open_from')
if cursor then
    local scan = redis.call('HSCAN', K.runs, cursor, 'COUNT', most)
    local opened = {}
    for i = 1, #scan[2], 2 do
        push(opened, number((read_run(scan[2][i + 1]))), scan[2][i])
    end
    in_batches('ZADD', K.open, opened, 2)
    if scan[1] == '0' then
        redis.call('HDEL', K.meta, 'open_from')
    else
        redis.call('HSET', K.meta, 'open_from', scan[1])
    end
    return {'ok', '1'}
end

local from = tonumber(redis.call('HGET', K.meta, 'types_from'))
local bytes = BUDGET

-- Returns whether the list is done.
local function index_list(list)
    for index, entry in ipairs(redis.call('LRANGE', K.listed .. list, 0, -1)) do
        if not has_type_tag(entry) then
            if most <= 0 or bytes <= 0 then
                return false
            end
            local record = redis.call('HGET', K.jobs, listed_id(entry))
            if record then
                local _, _, _, _, type, labels = read_places(record)
                retag(tonumber(list), index - 1, entry, type, labels)
                most, bytes = most - 1, bytes - #record
            end
        end
    end
    return true
end

while from and most > 0 and bytes > 0 do
    local lists = next_lists(K.created, math.floor(from / SPAN), true)
    if #lists == 0 then
        from = nil
    end
    for _, list in ipairs(lists) do
        if not index_list(list) then
            break
        end
        from = list * SPAN - 1
    end
end
save_order()
if from and from >= 0 then
    redis.call('HSET', K.meta, 'types_from', number(from))
    return {'ok', '1'}
end
redis.call('HDEL', K.meta, 'types_from')
return {'ok', '0'}
