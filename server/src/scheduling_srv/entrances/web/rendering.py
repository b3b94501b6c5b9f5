"""Templates and their filters, and the files that pages load."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scheduling_client.schedules.durations import duration_text
from scheduling_srv import __version__

HERE = Path(__file__).parent
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_MS = timedelta(milliseconds=1)


class Asset(NamedTuple):
    """A file that pages load."""

    content: bytes
    kind: str
    mark: str
    """In its address: a browser keeps it for ever."""


@cache
def assets() -> Mapping[str, Asset]:
    """By name."""
    files = (each for each in (HERE / "static").iterdir() if each.suffix in KINDS)
    return {each.name: _asset(each) for each in files}


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(content, KINDS[path.suffix], hashlib.sha256(content).hexdigest()[:12])


@cache
def environment() -> Environment:
    """All values are escaped, and a name that is missing is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals.update(asset=_address, link=link, version=__version__)
    made.filters.update(
        exact=exact,
        iso=iso,
        utc=utc,
        relative=relative,
        local=local,
        duration=length,
        number=number,
        counted=counted,
        quoted=shlex.quote,
    )
    return made


def _address(name: str) -> str:
    return f"/static/{name}?{assets()[name].mark}"


def link(path: str, **query: object) -> str:
    """An address with the parameters that have a value."""
    given = [(name, str(value)) for name, value in query.items() if value not in (None, "")]
    return f"{path}?{urlencode(given)}" if given else path


def iso(time: datetime) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def exact(time: datetime) -> str:
    """For the hover over a time."""
    return f"{iso(time)} (UTC)"


def utc(time: datetime) -> str:
    """For readers without JavaScript."""
    return local(iso(time)).replace(".000", "").removesuffix("Z") + "UTC"


def local(text: str) -> str:
    """RFC 3339 with its offset, for people."""
    time = datetime.fromisoformat(text)
    parts = f"{time:%a} {time.day} {time:%b %Y, %H:%M:%S}"
    milliseconds = f".{time.microsecond // 1000:03}" if time.microsecond else ""
    return f"{parts}{milliseconds} {text[-6:] if text[-6] in '+-' else 'Z'}"


def relative(time: datetime, now: datetime) -> str:
    """Such as `in 5m` and `2h ago`. `pages.js` says the same."""
    seconds = round((time - now).total_seconds())
    if abs(seconds) < 1:
        return "now"
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if abs(seconds) >= size:
            amount = f"{abs(seconds) // size}{unit}"
            return f"in {amount}" if seconds > 0 else f"{amount} ago"
    return "now"


def length(time: timedelta) -> str:
    """A duration as settings write it."""
    return duration_text(time // _MS)


def number(value: int) -> str:
    """With commas."""
    return f"{value:,}"


def counted(count: int, noun: str) -> str:
    """Such as `1 job` and `1,200 jobs`."""
    return f"{number(count)} {noun if count == 1 else f'{noun}s'}"
