--!include base carrying input marker outbox parcels putting requests room writing
--!args now:int partition expected position known bounds claims request base:int total:int lists...
-- Does a shard's part of a decided change, and keeps the parts of others until they are delivered.
-- `partition` to `known`: see `input.lua`. `bounds`: see `is_full`; '' for none.
-- `claims`: token of the claims; '': it was decided before, and no call may have any.
-- `request`: name of the request that it comes from, or ''.
-- `base`: creation number before the list; '': it begins here. `total`: length of the whole list.
-- Lists, each after its size: claimed ids, one of each call; ids to remove; jobs to put; as many,
-- their places; as many, what each keeps of the job that it was in another shard, as JSON or ''.
-- Then for each parcel: its value, a list of the ids in it, and a list of the jobs in it that leave
-- this shard.
-- Returns: 'ok' | 'not ready' | 'stale' | 'full' | 'crowded' | 'unclaimed' | 'unique' (another job has a key) |
--          'known' (the request was answered before), last entry, lineage
if not is_ready() then
    return {'not ready'}
end
if not is_next(partition, expected, known) then
    return {'stale'}
end
if bounds ~= '' and is_full(bounds) then
    return {'full'}
end
local at = lists_at

-- The next list: where it begins, and how many rows it has.
local function list(step)
    local first, size = at + 1, tonumber(args[at])
    at = first + size * (step or 1)
    return first, size
end

if not has_claims(claims, list()) then
    return {'unclaimed'}
end
local removed, removals = list()
local jobs, puts = list(JOB_ROW)
local places = list()
local carried = list()
if bounds ~= '' and (puts > 0 or at <= #args) and is_crowded() then
    return {'crowded'}
end
if recall(request) then
    return {'known'}
end
local is_decided = string.sub(partition, 1, 1) == '@'
local taken = not is_decided and find_taken(jobs, puts)
if taken then
    return {'unique', taken}
end
local parcels = {}
while at <= #args do
    local parcel = {value = args[at]}
    at = at + 1
    parcel.ids, parcel.size = list()
    parcel.carried = pack_carried(parcel.value, now, list(MOVE_ROW)) -- before the jobs go
    parcels[#parcels + 1] = parcel
end
local goes_on = {} -- ids of removed jobs that live again, here or in another shard
if removals > 0 then
    for i = jobs, jobs + (puts - 1) * JOB_ROW, JOB_ROW do
        goes_on[args[i]] = true
    end
    for _, parcel in ipairs(parcels) do
        for i = parcel.ids, parcel.ids + parcel.size - 1 do
            goes_on[args[i]] = true
        end
    end
end
for i = removed, removed + removals - 1 do
    drop_job(args[i], not goes_on[args[i]] and now or nil, puts > 0 or #parcels > 0)
end
local begins = not base
base = base or claim_seqs(total)
local last = begins and base or meta('seq') -- those after its own are not given yet
local due = puts > 0 and put('upsert', jobs, puts, now, function(n)
    last = math.max(last + 1, base + tonumber(args[places + n]))
    return last
end, function(n)
    return unpack_carried(args[carried + n])
end) or nil
redis.call('HSET', K.meta, 'seq', number(math.max(meta('seq'), last)))
for _, parcel in ipairs(parcels) do
    send(struct.pack(PARCEL_BASE, base) .. parcel.value .. parcel.carried, parcel.ids, parcel.size)
end
note_list(1, partition, position)
keep_answer(request, '{}')
if partition ~= '' then
    advance(partition, position, now)
elseif #parcels > 0 then
    emit_marker(now)
end
return {'ok', flush(removals > 0 and now or due), lineage()}
