-- Members of `due`, `plan` and the held runs.
local NEXT, RETRY, MISSED = 0, 1, 2 -- kinds of members

-- Creation order first, so that equal scores keep it.
local function member(seq, kind, id)
    return struct.pack('>I6B', seq, kind) .. id
end

local function retry_member(seq, id, nominal, attempt)
    return struct.pack('>I6BI6I4', seq, RETRY, nominal, attempt) .. id
end

local function read_place(text)
    local seq, kind = struct.unpack('>I6B', text)
    if kind ~= RETRY then
        return seq, kind
    end
    local nominal, attempt = struct.unpack('>I6I4', text, 8)
    return seq, kind, nominal, attempt
end

local function read_id(text)
    return string.sub(text, string.byte(text, 7) == RETRY and 18 or 8)
end

local function read_member(text)
    local seq, kind, nominal, attempt = read_place(text)
    return seq, kind, read_id(text), nominal, attempt
end
