"""Jobs of scheduling.v1 in campaigns: callers, and the rules of their properties."""
