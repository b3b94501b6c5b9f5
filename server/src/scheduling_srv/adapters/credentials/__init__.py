"""Credentials of callers: the file of callers, signed tokens, certificates."""
