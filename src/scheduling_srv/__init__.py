"""scheduling-srv: a durable job scheduler that emits every due run exactly once."""
