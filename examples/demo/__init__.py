"""The demo of `make run` and `make demo-check`: the whole service on one machine."""
