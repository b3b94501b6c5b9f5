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
WHERE = """\
## Where they are

Most points lie around the calls of a port. The assembly wraps the port
(`src/scheduling_srv/service/failpoints.py`), and only if failpoints are switched on. The use cases
do not know of them. All others lie within a step that no port shows:

| point | why it is not around a port |
|---|---|
"""
INSIDE = {
    "publish.begun, publish.produced, publish.committed": "Within a transaction.",
    "listen.polled, listen.applied": "Within a poll.",
    "listen.assigned, listen.revoked": "Within a rebalance, in a callback of librdkafka.",
    "listen.show, listen.shown, listen.committed": (
        "Around a commit of the consumer, which has no port yet."
    ),
    "answer.call, answer.done, event.call, event.done, bury.call, bury.done": (
        "They tell answers, events and bad records apart. The port sees the same calls for all."
    ),
    "clear.call, clear.done, sweep.piece": "Between two scripts of one call of the port.",
    "topics.call, topics.created": (
        "Within a look at Kafka, in a thread: most looks create no topic."
    ),
}
"""Points within a step, and why."""
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
