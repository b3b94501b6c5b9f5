--!include definition job
-- What a record takes over from the one that it replaces, beside the place in the schedule: creation
-- time, revision, and what the messages of 2018 cannot say (decision 30).

-- Creation time and MORE, as bytes. '': the record does not have it.
local function heritage_of(record)
    local shape = shape_of(record)
    local created = shape.has_birth and string.sub(record, shape.header_size + 1, shape.header_size + BIRTH_SIZE) or ''
    local more = shape.has_more and string.sub(record, shape.at + 1, shape.at + read_more(record, shape.at)) or ''
    return created, more
end

-- MORE of the definition that follows the one with `more`, with the parts of `wanted`.
local function next_more(more, wanted, now)
    local _, revision = struct.unpack(MORE, more ~= '' and more or NO_MORE)
    local size, _, _, flags, labels_size, key_size = struct.unpack(MORE, wanted ~= '' and wanted or NO_MORE)
    return struct.pack(MORE, size, math.min(revision + 1, 4294967295), now, flags, labels_size, key_size)
        .. string.sub(wanted, MORE_SIZE + 1)
end

-- The record with this creation number that an Update asks for, after one with this heritage. An
-- `asked` record of an earlier version comes from a replica that does not know the format yet.
local function inherit(asked, own, created, more, now)
    local shape = shape_of(asked)
    local is_older = not shape.has_birth
    if is_older and (created == '' or not has_format(2)) then
        return struct.pack(SEQ, own) .. string.sub(asked, SEQ_SIZE + 1)
    end
    local birth, given = heritage_of(asked)
    local next = next_more(more, keeps_more(asked) and more or given, now)
    local _, kind, rank, type_size, data_size, trace_size, creator_at = struct.unpack(shape.header, asked)
    if creator_at > 0 then
        creator_at = creator_at + #next - #given + HEADER_SIZE + BIRTH_SIZE - shape.policy_at
    end
    kind = kind + (shape.has_more and 0 or HAS_MORE) + (VERSION_OF_MORE - shape.version) * VERSION_UNIT
    return struct.pack(HEADER, own, kind, rank, type_size, data_size, trace_size, creator_at)
        .. (created ~= '' and created or birth)
        .. string.sub(asked, shape.policy_at + 1, shape.at) .. next .. string.sub(asked, shape.at + #given + 1)
end
