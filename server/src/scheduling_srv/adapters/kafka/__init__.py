"""Kafka: producers, consumers, topics, and why a broker does not answer."""
