"""What callers ask for: jobs are created, read, updated and deleted."""
