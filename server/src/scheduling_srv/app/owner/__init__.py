"""The owner of a shard: its lease, its emitter, and how shards spread over the replicas."""
