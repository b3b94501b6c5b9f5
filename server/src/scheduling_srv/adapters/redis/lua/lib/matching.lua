--!include job standing
-- Which jobs a list shows. `wanted` has `type`, `creator`, `labels` (texts), `prefix`, `states`
-- (letters), `from` and `to` (ms); '' or nil: any.
local function is_due_in(wanted, due)
    if not wanted.from and not wanted.to then
        return true
    end
    return due and due >= (wanted.from or 0) and due < (wanted.to or math.huge)
end

-- The labels that follow in the arguments.
local function labels_from(at)
    local labels = {}
    for i = at, #args do
        labels[#labels + 1] = args[i]
    end
    return labels
end

local function has_labels(wanted, job)
    if #wanted.labels == 0 then
        return true
    end
    local text = '\n' .. labels_of(job) .. '\n'
    for _, label in ipairs(wanted.labels) do
        if not string.find(text, '\n' .. label .. '\n', 1, true) then
            return false
        end
    end
    return true
end

local function has_prefix(wanted, id)
    return string.sub(id, 1, #wanted.prefix) == wanted.prefix
end

-- Whether only a look at each job tells if it is shown.
local function is_narrow(wanted)
    return wanted.prefix ~= '' or wanted.states ~= '' or wanted.from or wanted.to
end

-- What `stand` says of a job that is shown; nil: it is not.
local function match(wanted, id, record)
    local job = read_job(record)
    if not is_resource(job.kind) or (wanted.type ~= '' and job.type ~= wanted.type)
        or (wanted.creator ~= '' and job.creator ~= wanted.creator) or not has_prefix(wanted, id)
        or not has_labels(wanted, job) then
        return nil
    end
    local state, due, nominal = stand(id, job)
    if (wanted.states == '' or string.find(wanted.states, state, 1, true)) and is_due_in(wanted, due) then
        return state, due, nominal
    end
end
