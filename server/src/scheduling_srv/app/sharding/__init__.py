"""Changes that concern several shards."""
