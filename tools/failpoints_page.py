"""Writes docs/failpoints.md, from the list of failpoints: `make docs`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from scheduling_srv.runtime import failpoints
from scheduling_srv.runtime.failpoint_wrappers import Around
from scheduling_srv.runtime.points import POINTS, Point
from scheduling_srv.service.failpoints import TABLES

PAGE = Path(__file__).parents[1] / "docs" / "failpoints.md"

BEGIN = """\
# Failpoints

<!-- Written by `make docs` from server/src/scheduling_srv/runtime/points.py: change that. -->

At each failpoint a test makes the process die, fail or hang. The tables describe the state that a
crash there leaves, and why that state is safe.
"""
END = """\
## How they are tested

`tests/e2e/test_failpoints.py` reaches each point under load, on a real Kafka and a real Valkey. It
tries five actions at each: a kill, an error, an unexpected error, a pause of the step, and a stop
of the whole process. Pause and stop last longer than two leases.

The service recovers without help. Then the checker of the campaigns (`python -m chaos.checker`)
compares the answers to clients with the records on the topics. It shares no code with the service.
It checks these rules:

* No run is lost, doubled or early. No run follows an answered Delete or Update.
* Announcements are exact. Answers are applied once.
* Each record that cannot be applied has one dead letter.
* No key is left over in Redis.
"""
WHERE = """\
## Where they are

Most points lie around the calls of a port. The assembly wraps the port, and only if failpoints are
switched on: see `server/src/scheduling_srv/service/failpoints.py`. The use cases do not know of
them. All others lie within a step that no port shows:

| point | why it is not around a port |
|---|---|
"""
INSIDE = {
    "publish.begun, publish.produced, publish.committed": "Within a transaction.",
    "listen.polled, listen.applied": "Within a poll.",
    "listen.revoked": "Within a rebalance, in a callback of librdkafka.",
    "clear.call, clear.done, sweep.piece": "Between two scripts of one call of the port.",
    "topics.call, topics.created": (
        "Within a look at Kafka, in a thread: most looks create no topic."
    ),
}
"""Points within a step, and why."""
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
    return "\n".join((BEGIN, usage, *_parts(POINTS), _where(), END))


def around_ports() -> list[Point]:
    """The points that the assembly puts around ports."""
    rows = [row for table in TABLES for row in table.values()]
    made = [each for row in rows for each in ((row,) if isinstance(row, Around) else row)]
    return [point for each in made for point in (each.before, each.after) if point]


def reason_inside(point: Point) -> str:
    """Why the point lies within a step; empty: it lies around a port."""
    return next((why for names, why in INSIDE.items() if point.name in names.split(", ")), "")


def _where() -> str:
    rows = (
        f"| {', '.join(f'`{name}`' for name in names.split(', '))} | {why} |\n"
        for names, why in INSIDE.items()
    )
    return WHERE + "".join(rows)


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
