"""The wing that reaches out: Redis, the Kafka producer, the clock."""
