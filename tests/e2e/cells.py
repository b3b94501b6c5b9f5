"""What is done at each failpoint, and what makes it be reached."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from scheduling_srv.runtime.points import POINTS
from tests.client.grpc_client import Client
from tests.e2e.lane import Lane, until
from tests.harness.service import Service
from tests.harness.waiting import PATIENCE_SECONDS

PAUSE = "1500ms"
"""Longer than two leases."""
ACTIONS = {
    "kill": "kill",
    "raise": "raise",
    "unexpected": "raise:unexpected",
    "pause": f"pause:{PAUSE}",
    "stop": f"stop:{PAUSE}",
}
ENDS = {"kill": {-9}, "unexpected": {1}}
"""Exit codes that an action may lead to."""
DIES_WITHIN = {"kill": PATIENCE_SECONDS, "unexpected": 1.0}
"""Seconds to wait for a replica to end: an unexpected error does not end it everywhere."""
FIRST_START = ("topics.call", "topics.created", "recover.initialised")
"""Reached on the very first start only."""
EXPIRY = ("expire.call", "expire.done")
"""Reached when runs are not answered in time."""
CALLER = ("write.", "delete.", "clear.", "sweep.", "restore.noted", "list.")
"""Reached by the replica that a client calls."""
AT_LEAST_ONCE = "send."
"""Reached with SCHEDULING_DELIVERY=at_least_once only."""
OWNER = ("stage.", "plan.", "expire.", "publish.", "refuse.", "send.", "lease.re", "restore.")
"""Reached by the replica that owns the shard. All others: by any."""


class Cell(NamedTuple):
    """A failpoint and what happens there."""

    point: str
    action: str
    text: str

    def __str__(self) -> str:
        return f"{self.point}-{self.action}"


CELLS = [
    *(Cell(point.name, action, text) for action, text in ACTIONS.items() for point in POINTS),
    # A commit that was asked for, and nobody is left to hear the answer.
    *(Cell("publish.produced", f"kill after {ms} ms", f"kill:{ms}ms") for ms in (1, 2, 4, 8)),
]


def try_cell(lane: Lane, cell: Cell) -> str:
    """Reach the point, let the product recover; returns what went wrong, or nothing."""
    before = lane.hits(cell.point)
    once = cell.point.startswith(("lease.release", "restore", "clear", "sweep", "list"))
    deadline = time.monotonic() + PATIENCE_SECONDS

    def is_hit() -> bool:
        return lane.hits(cell.point) > before

    def go_on() -> bool:
        return not is_hit() and time.monotonic() < deadline

    while go_on():
        targets = _targets(lane, cell.point)
        lane.arm(targets, f"{cell.point}={cell.text}")
        for _ in _trigger(lane, cell.point, lane.client_of(targets[0])):
            if is_hit():
                break
        until(is_hit, 2.0 if once else 0.5)
    lane.arm([], "")
    if not is_hit():
        return f"{cell} was not reached"
    if cell.action in ENDS:  # its end belongs to this cell, and takes a moment
        seconds = DIES_WITHIN[cell.action]
        until(lambda: not all(each.process.alive for each in lane.replicas), seconds)
    codes = lane.heal()
    allowed = ENDS.get(cell.action.split()[0], set()) | (
        {0} if cell.point.startswith("lease.release") else set()
    )
    return f"{cell} ended it with {codes}" if codes - allowed else ""


def try_first_start(lane: Lane, cell: Cell) -> str:
    """The same for what happens at the very first start."""
    (replica,) = lane.replicas
    lane.arm([replica], f"{cell.point}={cell.text}")
    replica.launch()
    if not until(lambda: lane.hits(cell.point) > 0, PATIENCE_SECONDS):
        return f"{cell} was not reached"
    lane.arm([], "")
    if cell.action == "kill" or (cell.action in ENDS and cell.point.startswith("topics.")):
        replica.process.wait()  # the owner starts again by itself after an unexpected error
    lane.heal()
    lane.begin()
    return ""


def _targets(lane: Lane, point: str) -> Sequence[Service]:
    if point.startswith(CALLER):
        return lane.replicas[:1]
    owner = lane.owner() if point.startswith(OWNER) else None
    return [owner] if owner else lane.replicas


Trigger = Callable[[Lane, Client], object]

TRIGGERS: dict[str, Trigger] = {
    "lease.taken": lambda lane, _: lane.lose_lease(),
    "recover.": lambda lane, _: lane.lose_lease(),
    "lease.release": lambda lane, _: lane.stop_owner(),
    "rebuild.": lambda lane, _: lane.lose_store(),
    "send.anchored": lambda lane, _: lane.lose_store(),
    "listen.assigned": lambda lane, _: lane.join_group(),
    "listen.revoked": lambda lane, _: lane.join_group(),
    "refuse.": lambda lane, _: lane.refuse(),
    "bury.": lambda lane, _: lane.bury(),
    "restore.": lambda lane, client: lane.restore(client),
    "clear.": lambda lane, client: lane.delete_all(client),
    "sweep.": lambda lane, client: lane.delete_all(client),
    "list.dropped": lambda lane, client: lane.refused_list(client),
    "list.": lambda lane, client: lane.long_list(client),
    "expire.": lambda lane, client: lane.let_expire(client),
}


def _trigger(lane: Lane, point: str, client: Client) -> Iterator[None]:
    """A round of the load, after what the point needs."""
    for prefix, trigger in TRIGGERS.items():
        if point.startswith(prefix):
            trigger(lane, client)
            yield
            if prefix == "expire.":
                return
    yield from lane.round(client)
