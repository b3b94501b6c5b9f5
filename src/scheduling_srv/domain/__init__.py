"""Jobs, triggers and time: pure, no I/O, no event loop, no clock."""
