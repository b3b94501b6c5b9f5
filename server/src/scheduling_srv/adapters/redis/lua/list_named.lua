--!include base listing matching names
--!args cursor limit:int bytes:int reads:int looks:int most:int
--!args type creator prefix states from:int to:int labels...
-- One page of the jobs whose ids begin with `prefix`, in the order of their ids: of ids that callers
-- gave. Of other ids only the prefix itself is looked up, if there is no such id.
-- `cursor`: id to start after, or ''. `most`: ids that are counted. The rest: see `list.lua`.
-- Returns: 'ok' | 'not ready' | 'older' (some ids are not indexed yet: use `list.lua`), then see
--          `list.lua`
if not is_ready() then
    return {'not ready'}
end
if not has_format(2) or redis.call('HEXISTS', K.meta, 'types_from') == 1 then
    return {'older'}
end
local wanted = {type = type, creator = creator, labels = labels_from(labels_at), prefix = prefix, states = states,
    from = from, to = to}

-- The bound that follows a text, if ids with the prefix may follow it.
local function next_bound(text)
    local bound = redis.call('ZRANGE', K.names, '(' .. text, '+', 'BYLEX', 'LIMIT', 0, 1)[1]
    return bound and has_prefix(wanted, bound) and bound or nil
end

-- Calls see(id) for each id with the prefix in order, from `first` on ('[<id>' or '(<id>'), and
-- rest(size) after each bucket, until one of them returns true.
local function each_named(first, see, rest)
    local start = string.sub(first, 2)
    local bound = bound_of(start) or next_bound(start)
    while bound do
        local ids = redis.call('ZRANGE', K.named .. bound, first, '+', 'BYLEX')
        for _, id in ipairs(ids) do
            if not has_prefix(wanted, id) or see(id) then
                return
            end
        end
        if rest(#ids) then
            return
        end
        bound = next_bound(bound)
    end
end

local function count()
    local counted, left, is_exact = 0, looks, true
    each_named('[' .. prefix, function()
        counted = counted + 1
    end, function(size)
        left = left - math.max(1, size)
        is_exact = counted <= most and left > 0
        return not is_exact
    end)
    return is_exact and counted or nil
end

local total = cursor == '' and count() or nil
if cursor == '' and total == 0 then
    budget = {jobs = 1, bytes = bytes, reads = reads, looks = looks}
    consider_job(wanted, prefix, prefix, read_record(prefix))
    total = #page > 3 and 1 or 0
elseif limit > 0 then
    budget = {jobs = limit, bytes = bytes, reads = reads, looks = looks}
    each_named(cursor == '' and '[' .. prefix or '(' .. cursor, function(id)
        if is_used_up() then
            return end_page()
        end
        last = id
        consider_job(wanted, id, id, read_record(id))
    end, function(size)
        budget.looks = budget.looks - math.max(1, size)
    end)
end
local is_total_wanted = total and type == '' and creator == '' and #wanted.labels == 0 and states == '' and not from and not to
page[2] = is_total_wanted and number(total) or ''
return page
