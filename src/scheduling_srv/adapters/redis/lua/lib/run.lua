-- The stored form of a run that is unanswered, in front of its type and its job's id.
local RUN = '<I8I8I4I8I2'
