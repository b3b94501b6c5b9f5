--!include base taking
--!args token published:int known now:int ahead:int most:int most_bytes:int
-- Trims what is published and hands out the next entries; notes first how far they go.
-- `published`: number of the last entry on Kafka. `known`: lineage of the store. `now`: Kafka
-- had it by then. `ahead`: entries after that one that were handed out before and are still under
-- way. `most`: entries to hand out.
-- Returns: 'ok' | lost() | 'diverged', number before the first entry, number of entries there are,
--          entries ...
if not owns(token) then
    return {lost()}
end
if not trim(published, known, now) then
    return {'diverged'}
end
return hand_out({'ok'}, published, ahead, most, most_bytes)
