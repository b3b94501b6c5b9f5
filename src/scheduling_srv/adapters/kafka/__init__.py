"""Kafka as the publisher sees it."""
