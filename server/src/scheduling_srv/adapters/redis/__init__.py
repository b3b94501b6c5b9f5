"""The store: Lua scripts, and one typed function beside each."""
