"""Names under which the answers of requests are kept, so that these may be sent again."""

from __future__ import annotations

import hashlib


def name_of(method: str, request_id: str, *asked: object) -> str:
    """The same for a repetition, another one for any other request. Empty without a request id.

    `asked` is what the request asks for.
    """
    if not request_id:
        return ""
    return hashlib.sha256(repr((method, request_id, asked)).encode()).hexdigest()[:32]
