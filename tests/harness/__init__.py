"""Real servers for the tests: each held by its own handle, on ports of its own."""
