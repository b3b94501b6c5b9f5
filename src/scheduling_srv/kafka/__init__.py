"""Kafka clients and their errors, for entrances and adapters."""
