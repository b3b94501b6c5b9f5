"""scheduling-srv: a durable job scheduler that emits every due run exactly once."""

__version__ = "0.1.0"
