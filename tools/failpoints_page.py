"""Writes docs/failpoints.md, from the list of failpoints: `make docs`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from scheduling_srv.runtime import failpoints
from scheduling_srv.runtime.points import POINTS, Point

PAGE = Path(__file__).parents[1] / "docs" / "failpoints.md"

BEGIN = """\
# Failpoints

<!-- Written by `make docs` from src/scheduling_srv/runtime/points.py: change that. -->

Places at which a test makes the process die, fail or hang, what is left behind then, and why
that is safe.
"""
END = """\
## How they are tested

`tests/e2e/test_failpoints.py` reaches each of them with a kill, an error, an unexpected error, a
pause of the step and a stop of the whole process for longer than two leases, under load, on a real
Kafka and a real Valkey. The product recovers by itself; then the checker of the campaigns
(`python -m chaos.checker`), which shares no code with it, compares what clients were told with what
is on the topics: nothing lost, nothing twice, nothing early, nothing after an answered Delete or
Update, announcements exact, answers applied once, one dead letter a record, nothing left over in
Redis.
"""
HEAD = "| point | what it leaves behind, and why that is safe |\n|---|---|\n"
PARTS = {
    "stage": "Staging",
    "publish": "Publishing",
    "listen": "Listening",
    "write": "Calls",
    "lease": "Owning",
    "rebuild": "Rebuilding",
    "restore": "Restoring",
}
"""First names of the points at which a part of the page begins."""


def page() -> str:
    """The page as it has to be."""
    usage = (failpoints.__doc__ or "").partition("\n\n")[2]
    return "\n".join((BEGIN, usage, *_parts(POINTS), END))


def _parts(points: Iterable[Point]) -> Iterable[str]:
    heading = ""

    def part(point: Point) -> str:
        nonlocal heading
        heading = PARTS.get(point.name.split(".")[0], heading)
        return heading

    for title, members in groupby(points, part):
        rows = "".join(f"| `{point.name}` | {point.leaves} |\n" for point in members)
        yield f"## {title}\n\n{HEAD}{rows}"


if __name__ == "__main__":
    PAGE.write_text(page())
