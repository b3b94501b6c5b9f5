"""Ids of jobs that come from the name of a request, so that it may be sent again."""

from __future__ import annotations

import hashlib
import secrets


def new_request_id() -> str:
    """One that no other request has."""
    return secrets.token_urlsafe(16)


def derived_id(request_id: str, number: int) -> str:
    """The id of the n-th job of a request, the same each time."""
    digest = hashlib.sha256(request_id.encode()).hexdigest()[:16]
    return f"~{digest}-{number}"
