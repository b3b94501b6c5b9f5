"""Compares the schedule in Redis with Kafka."""
