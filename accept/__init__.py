"""Proves, point by point, that the demands of an issue are met: `make accept-NAME`."""
