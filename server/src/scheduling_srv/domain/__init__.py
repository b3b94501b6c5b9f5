"""Jobs, triggers and validation: pure, no I/O, no event loop, no clock."""
