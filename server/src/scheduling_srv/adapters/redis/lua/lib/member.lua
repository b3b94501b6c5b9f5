--!include origins
-- Members of `due`, `plan` and the held runs. Creation order first, so that equal scores keep it.
local function member(seq, kind, id)
    return struct.pack(MEMBER, seq, kind) .. id
end

-- A run that waits by itself: for its retry, or (first attempt) because its job has a new schedule, or
-- because of its origin (nil: the schedule).
local function retry_member(seq, id, nominal, attempt, origin)
    local kind = attempt > 1 and RETRY or FIRST_KINDS[origin or SCHEDULE]
    return struct.pack(RUN_MEMBER, seq, kind, nominal, attempt + (origin or SCHEDULE) * ORIGIN_UNIT) .. id
end

-- Whether the member stands for the job's next occurrence; others name their run.
local function is_next_run(kind)
    return kind == NEXT or kind == MISSED
end

local function read_place(text)
    local seq, kind = struct.unpack(MEMBER, text)
    if is_next_run(kind) then
        return seq, kind
    end
    local _, _, nominal, attempt = struct.unpack(RUN_MEMBER, text)
    return seq, kind, nominal, attempt % ORIGIN_UNIT, math.floor(attempt / ORIGIN_UNIT)
end

local function read_id(text)
    local size = is_next_run(string.byte(text, MEMBER_SIZE)) and MEMBER_SIZE or RUN_MEMBER_SIZE
    return string.sub(text, size + 1)
end

local function read_member(text)
    local seq, kind, nominal, attempt, origin = read_place(text)
    return seq, kind, read_id(text), nominal, attempt, origin
end
