--!include base room job member limits outbox marker order remove input definition keeping replacing writing putting parcels carrying
-- Does a shard's part of a decided change, and keeps the parts of others until they are delivered.
-- ARGV: now, partition or '', stored offset, next offset, lineage, bounds of the outbox (see `is_full`) or '',
--       token of the claims or '' (decided before: nobody may have any), creation number in front of the
--       list or '' (it begins here), length of the list, number of claimed ids, those ids, number of ids to
--       remove, those ids, number of jobs to put, id, due ms and record for each, as many: their places, as
--       many: what each keeps of the job that it was in another shard as JSON, or '',
--       then for each parcel: value, number of ids in it, those ids, number of jobs in it that leave this
--       shard, and id, due ms, offset in the value and size of the record for each
-- Returns: 'ok' | 'not ready' | 'stale' | 'full' | 'crowded' | 'unclaimed', last entry, lineage
if not is_ready() then
    return {'not ready'}
end
if not is_next(ARGV[2], ARGV[3], ARGV[5]) then
    return {'stale'}
end
if ARGV[6] ~= '' and is_full(ARGV[6]) then
    return {'full'}
end
local now, at = tonumber(ARGV[1]), 10

-- The next list in ARGV: where it begins, and how long it is.
local function list(step)
    local first, size = at + 1, tonumber(ARGV[at])
    at = first + size * (step or 1)
    return first, size
end

local claimed, claims = list()
if not has_claims(ARGV[7], claimed, claims) then
    return {'unclaimed'}
end
local removed, removals = list()
local jobs, puts = list(3)
local places = list()
local carried = list()
if ARGV[6] ~= '' and (puts > 0 or at <= #ARGV) and is_crowded() then
    return {'crowded'}
end
local parcels = {}
while at <= #ARGV do
    local parcel = {value = ARGV[at]}
    at = at + 1
    parcel.ids, parcel.size = list()
    parcel.carried = pack_carried(parcel.value, now, list(4)) -- before the jobs go
    parcels[#parcels + 1] = parcel
end
for i = removed, removed + removals - 1 do
    drop_job(ARGV[i], puts > 0 or #parcels > 0)
end
local base, last = tonumber(ARGV[8]) or claim_seqs(tonumber(ARGV[9])), meta('seq')
last = ARGV[8] == '' and base or last -- those behind its own are not given yet
local due = puts > 0 and put('upsert', jobs, puts, now, function(n)
    last = math.max(last + 1, base + tonumber(ARGV[places + n]))
    return last
end, function(n)
    return unpack_carried(ARGV[carried + n])
end) or nil
redis.call('HSET', K.meta, 'seq', number(math.max(meta('seq'), last)))
for _, parcel in ipairs(parcels) do
    send(struct.pack('<I8', base) .. parcel.value .. parcel.carried, parcel.ids, parcel.size)
end
note_list(1, ARGV[2], ARGV[4])
if ARGV[2] ~= '' then
    advance(ARGV[2], ARGV[4], now)
elseif #parcels > 0 then
    emit_marker(now)
end
return {'ok', flush(removals > 0 and now or due), lineage()}
