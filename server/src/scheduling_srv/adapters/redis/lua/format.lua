--!include base upgrade
--!args writes:int
-- Notes that data of this format may be stored from now on.
-- `writes`: the format; 0 to note nothing.
-- Returns: the format that was noted before
local found = meta('format')
check_format(found)
if writes > found then
    raise_format(writes)
end
return found
