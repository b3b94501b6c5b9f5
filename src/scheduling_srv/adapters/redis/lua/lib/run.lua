-- Runs: instances of jobs from their staging to their answer.
local RUN = '<I8I8I4I8I2'
