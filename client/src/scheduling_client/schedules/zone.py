"""Time zones by their IANA names (docs/contract.md)."""

from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from scheduling_client.schedules.errors import Unparsable
from scheduling_client.schedules.texts import shown

UTC = ZoneInfo("UTC")


@cache
def _names() -> frozenset[str]:
    """Return the zones that the `tzdata` package lists.

    They are the same on every host. None is a path, a directory or a file of the host.
    """
    return frozenset(files("tzdata").joinpath("zones").read_text("ascii").split())


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return the time zone called `name`, in exactly IANA's spelling; the empty name is UTC.

    Errors: Unparsable for any other name.
    """
    if not name:
        return UTC
    if name not in _names():
        raise Unparsable(
            f"Time zone {shown(name)} is not known:"
            " give an IANA name such as 'Europe/Berlin' or 'UTC'."
        )
    return ZoneInfo(name)
