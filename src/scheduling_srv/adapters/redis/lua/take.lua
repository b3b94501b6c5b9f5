--!include base outbox taking
-- Trims what is published and hands out the next entries; notes first how far they go.
-- ARGV: token, number of the last published entry, lineage, how many entries behind it were handed out
--       before and are still under way, most entries, most bytes
-- Returns: 'ok' | lost() | 'diverged', number before the first entry, number of entries there are, entries ...
if not owns(ARGV[1]) then
    return {lost()}
end
local published = tonumber(ARGV[2])
if not trim(published, ARGV[3]) then
    return {'diverged'}
end
return hand_out({'ok'}, published, tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
