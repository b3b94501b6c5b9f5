"""The limits of a caller, as scripts read them (`lua/lib/within.lua`)."""

from __future__ import annotations

import json

from scheduling_srv.domain.limits import Limits


def within_argument(limits: Limits | None) -> str:
    """The argument `within` of a script."""
    if limits is None:
        return ""
    named = {"types": limits.types, "creators": limits.creators}
    allowed = {key: dict.fromkeys(sorted(names), 1) for key, names in named.items() if names}
    return json.dumps(allowed)
