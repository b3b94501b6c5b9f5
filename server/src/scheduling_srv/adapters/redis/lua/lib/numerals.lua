--!include base
-- Whole numbers as texts, where many follow each other: `number` takes several times as long.
local HUNDRED = 100
local endings = {} -- the last two digits

local function ending_of(value)
    local ending = endings[value]
    if not ending then
        ending = string.format('%02d', value)
        endings[value] = ending
    end
    return ending
end

-- Returns a function like `number`, which is quick for numbers of the same hundred.
local function numerals()
    local hundreds, beginning
    return function(value)
        local rest = value % HUNDRED
        local found = value - rest
        if found == 0 then
            return number(value)
        elseif found ~= hundreds then
            hundreds, beginning = found, number(found / HUNDRED)
        end
        return beginning .. (endings[rest] or ending_of(rest))
    end
end
