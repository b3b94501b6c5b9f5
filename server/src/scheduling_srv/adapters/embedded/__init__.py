"""Servers of our own, so that a first look needs none: `scheduling-srv serve --embedded`."""

from scheduling_srv.adapters.embedded.broker import EmbeddedBroker
from scheduling_srv.adapters.embedded.valkey import EmbeddedValkey

__all__ = ["EmbeddedBroker", "EmbeddedValkey"]
