"""The texts of schedules, time zones and next times: pure, no I/O, no event loop, no clock."""
