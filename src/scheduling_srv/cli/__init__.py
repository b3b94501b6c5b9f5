"""The command `scheduling-srv`."""
