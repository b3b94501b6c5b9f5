"""The messages of scheduling.v1: what is read of them, and written to them."""
