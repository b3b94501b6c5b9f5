"""Credentials, roles, quotas and the audit log (docs/decisions/0033)."""
