--!include base job member order
-- Rebuild: jobs with their old creation numbers.
-- ARGV: token, then for each job: id, due ms or '' (it only has runs), record
-- Returns: 'ok' | 'lost'
if not owns(ARGV[1]) then
    return 'lost'
end
local jobs, places = {}, {}
for i = 2, #ARGV, 3 do
    local id, due, record = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local kind, rank, creator, seq = read_places(record)
    push(jobs, id, record)
    if kind ~= NOW then
        enlist(seq, id, creator)
    end
    if due ~= '' then
        push(places, rank * RANK + tonumber(due), member(seq, NEXT, id))
    end
end
in_batches('HSET', K.jobs, jobs, 2)
in_batches('ZADD', K.due, places, 2)
save_order()
return 'ok'
