-- Members of `due`, `plan` and the held runs.
local NEXT, RETRY, MISSED, KEPT = 0, 1, 2, 3 -- kinds of members

-- Creation order first, so that equal scores keep it.
local function member(seq, kind, id)
    return struct.pack('>I6B', seq, kind) .. id
end

-- A run that waits by itself: for its retry, or (first attempt) because its job has a new schedule.
local function retry_member(seq, id, nominal, attempt)
    return struct.pack('>I6BI6I4', seq, attempt > 1 and RETRY or KEPT, nominal, attempt) .. id
end

-- Whether the member stands for the job's next occurrence; others name their run.
local function is_next_run(kind)
    return kind == NEXT or kind == MISSED
end

local function read_place(text)
    local seq, kind = struct.unpack('>I6B', text)
    if is_next_run(kind) then
        return seq, kind
    end
    local nominal, attempt = struct.unpack('>I6I4', text, 8)
    return seq, kind, nominal, attempt
end

local function read_id(text)
    return string.sub(text, is_next_run(string.byte(text, 7)) and 8 or 18)
end

local function read_member(text)
    local seq, kind, nominal, attempt = read_place(text)
    return seq, kind, read_id(text), nominal, attempt
end
