"""The owner of a shard: it stages and publishes runs."""
