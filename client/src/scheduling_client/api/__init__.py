"""The clients of scheduling.v1. `scheduling_client` exports the names that programs use."""
