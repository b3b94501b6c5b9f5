"""Which time zone data this process uses. Python prefers that of the host to the package."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from zoneinfo import TZPATH

VERSION = "# version "
"""Begin of the first line of `tzdata.zi`, which hosts may leave out."""
UNKNOWN = "of the host"


def tzdata_version() -> str:
    """Such as `2026a`."""
    folder = next((Path(each) for each in TZPATH if (Path(each) / "UTC").exists()), None)
    if folder is None:
        return str(import_module("tzdata").IANA_VERSION)
    try:
        with (folder / "tzdata.zi").open(encoding="ascii") as lines:
            first = lines.readline()
    except OSError:
        return UNKNOWN
    return first.removeprefix(VERSION).strip() if first.startswith(VERSION) else UNKNOWN
