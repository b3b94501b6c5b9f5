--!include base ranks
-- When the next run is due.
local function next_due()
    local first
    local lowest, highest = ranks()
    for rank = lowest, highest do
        local head = redis.call('ZRANGE', K.due, number(rank * RANK), '(' .. number((rank + 1) * RANK), 'BYSCORE',
            'LIMIT', 0, 1, 'WITHSCORES')[2]
        if head and (not first or tonumber(head) - rank * RANK < first) then
            first = tonumber(head) - rank * RANK
        end
    end
    return first and number(first) or ''
end

-- Whether the owner has not looked yet at something that was due before this instant.
local function is_behind(instant)
    local next = next_due()
    return (next ~= '' and tonumber(next) < instant) or redis.call('EXISTS', K.plan, K.aside) > 0
end
