"""Generators of files in this repository; a make target runs each of them."""
