"""Programs to read, run and copy: a client, a worker, and a demonstration of the whole."""
