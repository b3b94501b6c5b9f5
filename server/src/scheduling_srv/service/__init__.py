"""One replica: its parts put together, started and stopped."""
