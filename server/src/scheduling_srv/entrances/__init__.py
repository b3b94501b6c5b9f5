"""Callers come in here: gRPC and the admin pages."""
