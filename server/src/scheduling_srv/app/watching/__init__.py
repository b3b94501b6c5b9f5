"""Watchers of events: one reader for all of them."""
