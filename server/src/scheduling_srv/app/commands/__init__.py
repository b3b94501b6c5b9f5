"""The system commands."""
