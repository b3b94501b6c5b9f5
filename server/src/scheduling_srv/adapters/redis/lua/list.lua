--!include base counting labels listing matching order walk
--!args order cursor:int limit:int bytes:int reads:int looks:int
--!args type creator prefix states from:int to:int labels...
-- One page of the jobs that match, in order of creation.
-- `order`: 'asc' or 'desc'. `cursor`: creation number to start after, or ''. `limit`: jobs; 0 to
-- count only. `bytes`, `reads`: of records, shown or not. `looks`: entries of the order of creation.
-- The filter: see `matching.lua`.
-- Returns: 'ok' | 'not ready', number that match or '' (only a walk could tell), where to go on or
--          '' (it came to the end), then for each job: its place, id, record, state, next due ms or
--          '', nominal ms or '' (see `stand`). A page may be short and yet not be the last one.
if not is_ready() then
    return {'not ready'}
end
local down = order == 'desc'
local wanted = {type = type, creator = creator, labels = labels_from(labels_at), prefix = prefix, states = states,
    from = from, to = to}
local is_indexed = has_format(2) and redis.call('HEXISTS', K.meta, 'types_from') == 0

-- The lists of the blocks that hold the type.
local function next_lists_of_type(list, down)
    local block = list and math.floor(list / BLOCK)
    while not block or block >= 0 do
        local found
        if down then
            local highest = block and number((block + 1) * BLOCK_COUNTS - 1) or '+inf'
            found = redis.call('ZRANGE', K.type .. type, highest, 0, 'BYSCORE', 'REV', 'LIMIT', 0, 1)[1]
        else
            local lowest = number((block or 0) * BLOCK_COUNTS)
            found = redis.call('ZRANGE', K.type .. type, lowest, '+inf', 'BYSCORE', 'LIMIT', 0, 1)[1]
        end
        if not found then
            return {}
        end
        local first, final = found * BLOCK, found * BLOCK + BLOCK - 1
        if list then
            first, final = down and first or math.max(first, list), down and math.min(final, list) or final
        end
        local low, high = number(first * COUNTS), number((final + 1) * COUNTS - 1)
        local lists = redis.call('ZRANGE', K.created, down and high or low, down and low or high, 'BYSCORE',
            unpack(down and {'REV', 'LIMIT', 0, LISTS_AT_ONCE} or {'LIMIT', 0, LISTS_AT_ONCE}))
        if #lists > 0 then
            return lists
        end
        block, list = found + (down and -1 or 1), nil -- it holds the type on the other side of `list` only
    end
    return {}
end

local function lists_in(key)
    return function(list)
        return next_lists(key, list, down)
    end
end

-- The index with the fewest jobs leads.
local next_lists_of, fewest, filters = lists_in(K.created), count_listed(K.created), 0
local function lead(key, lists_of)
    filters = filters + 1
    local size = count_listed(key)
    if size < fewest then
        next_lists_of, fewest = lists_of, size
    end
end
if creator ~= '' then
    lead(K.creator .. creator, lists_in(K.creator .. creator))
end
if type ~= '' and is_indexed then
    lead(K.type .. type, next_lists_of_type)
end
for _, label in ipairs(wanted.labels) do
    lead(K.labels .. label, lists_in(K.labels .. label))
end
local is_total_wanted = filters <= 1 and not is_narrow(wanted) and (type == '' or is_indexed)
page[2] = is_total_wanted and number(fewest) or ''
if limit == 0 then
    return page
end

budget = {jobs = limit, bytes = bytes, reads = reads, looks = looks}
local creator_low, creator_high, type_byte
if creator ~= '' then
    creator_low, creator_high = string.byte(tag(creator), 1, 2)
end
if type ~= '' then
    type_byte = string.byte(type_tag(type))
end

local its_list, bits = nil, {}

-- Whether the job of a creation number has all labels that are wanted.
local function is_labelled(seq)
    if #wanted.labels == 0 then
        return true
    end
    local place = seq % SPAN
    local list = (seq - place) / SPAN
    if list ~= its_list then
        its_list, bits = list, bits_of(wanted.labels, number(list))
    end
    for n = 1, #wanted.labels do
        if not bits[n] or not has_bit(bits[n], place) then
            return false
        end
    end
    return true
end

-- Whether the tags of an entry allow that it is shown.
local function may_match(entry)
    local mark, low, high, its_type = string.byte(entry, 1, 4)
    if creator_low and (low ~= creator_low or high ~= creator_high) then
        return false
    end
    return not type_byte or mark < TAGGED or its_type == type_byte
end

walk(next_lists_of, cursor and cursor + (down and -1 or 1), down, function(seq, entry)
    local fits = may_match(entry) and is_labelled(seq)
    if (fits or budget.jobs <= 0) and is_used_up() then
        return end_page()
    elseif fits then
        last = number(seq)
        local id = listed_id(entry)
        if has_prefix(wanted, id) then
            consider_job(wanted, last, id, read_record(id))
        end
    end
end, function(seq, size)
    last, budget.looks = number(seq), budget.looks - size
    if budget.looks <= 0 then
        return end_page()
    end
end)
return page
