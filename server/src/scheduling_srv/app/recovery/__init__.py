"""Recovery of a shard by its next owner."""
