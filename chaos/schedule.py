"""Which fault comes when: decided before anything runs, by the seed alone."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaos.client_faults import CLIENT_KINDS
from chaos.faults import REPLICA_KINDS, REPLICAS, Kind
from chaos.server_faults import SERVER_KINDS

KINDS = (*REPLICA_KINDS, *SERVER_KINDS, *CLIENT_KINDS)
PAUSES = {REPLICAS: 2.0, "servers": 8.0}
"""Mean seconds between the starts of faults of a lane."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault to come."""

    at: float
    """Seconds after the start; later if the one before it has not ended."""
    kind: Kind
    seed: int


def kinds_for(nodes: int, names: Iterable[str] = ()) -> list[Kind]:
    """Those that so many Kafka nodes allow, and if names are given, those."""
    wanted = {*names}
    unknown = wanted - {kind.name for kind in KINDS}
    if unknown:
        known = ", ".join(kind.name for kind in KINDS)
        msg = f"no such faults: {', '.join(sorted(unknown))}; there are {known}"
        raise ValueError(msg)
    allowed = {0, nodes if nodes > 1 else -1}
    return [kind for kind in KINDS if kind.nodes in allowed and (not wanted or kind.name in wanted)]


def plan(
    seed: int, seconds: float, kinds: Sequence[Kind], *, pace: float = 1.0
) -> dict[str, list[Planned]]:
    """The faults of each lane; every kind comes before any comes again, in a random order."""
    return {
        lane: list(_lane(random.Random(f"{seed}/{lane}"), seconds, kinds, lane, pace))  # noqa: S311
        for lane in PAUSES
    }


def _lane(
    rng: random.Random, seconds: float, kinds: Sequence[Kind], lane: str, pace: float
) -> Iterable[Planned]:
    mine = [kind for kind in kinds if kind.lane == lane]
    waiting: list[Kind] = []
    at, planned = 3.0, 0
    while at < seconds or planned < len(mine):
        if not mine:
            return
        if not waiting:
            waiting = [kind for kind in mine for _ in range(kind.weight)]
            rng.shuffle(waiting)
            first = list(dict.fromkeys(waiting))  # one of each kind first
            for kind in first:
                waiting.remove(kind)
            waiting = [*waiting, *reversed(first)]
        yield Planned(at, waiting.pop(), rng.getrandbits(32))
        planned += 1
        at += rng.uniform(0.3, 1.7) * PAUSES[lane] * pace
