"""Shows, point by point, that what an issue asked for holds: `make accept-NAME`."""
