"""Contenders in Python. They run in an environment of their own: build/bench/python."""
