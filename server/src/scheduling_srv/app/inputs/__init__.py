"""Consumed records: how they are read, and applied in order, each once."""
