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

At each failpoint a test makes the process die, fail or hang. The tables describe the state that a
crash there leaves, and why that state is safe.
"""
END = """\
## How they are tested

`tests/e2e/test_failpoints.py` reaches each point under load, on a real Kafka and a real Valkey. It
tries five actions at each: a kill, an error, an unexpected error, a pause of the step, and a stop
of the whole process. Pause and stop last longer than two leases.

The service recovers without help. Then the checker of the campaigns (`python -m chaos.check`)
compares the answers to clients with the records on the topics. It shares no code with the service.
It checks these rules:

* No run is lost, doubled or early. No run follows an answered Delete or Update.
* Announcements are exact. Answers are applied once.
* Each record that cannot be applied has one dead letter.
* No key is left over in Redis.
"""
HEAD = "| point | state after a crash here, and why it is safe |\n|---|---|\n"
PARTS = {
    "stage": "Staging",
    "publish": "Publishing",
    "listen": "Listening",
    "write": "Calls",
    "lease": "Owning",
    "rebuild": "Rebuilding",
    "restore": "Restoring",
}
"""First part of a point's name -> heading of the section that begins there."""


def page() -> str:
    """The whole page as Markdown."""
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
