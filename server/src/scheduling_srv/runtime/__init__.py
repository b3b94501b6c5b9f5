"""The process: logs, metrics, memory, failpoints."""
