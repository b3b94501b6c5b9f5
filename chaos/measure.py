"""Numbers from a campaign's history: counts, and how long nothing was emitted after a fault."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from itertools import pairwise
from statistics import median, quantiles

from chaos.history import Fault, History

TAKE_OVERS = ("kill-emitter", "kill-in-transaction")
RESTARTS = ("kill-all", "outage")
HAND_OVERS = ("terminate",)
SOON = 300
"""Milliseconds after a fault within which its silence has begun."""
NEAR = 2_500
"""Milliseconds within which two faults may be felt as one."""


def silences(history: History, names: tuple[str, ...], *, from_end: bool = False) -> list[int]:
    """The longest silence, in ms, around each of these faults that came alone.

    `from_end`: counted from when the replicas were started again.
    """
    times = sorted(
        record.at for record in history.records if record.key == "queuedJob" and record.committed
    )
    found = []
    for fault in history.faults:
        if fault.name in names and not any(_near(fault, other) for other in history.faults):
            first = bisect_right(times, fault.begun) - 1
            last = bisect_right(times, fault.ended + SOON)
            around = pairwise(times[max(0, first) : last + 1])
            gaps = [
                later - (max(earlier, fault.ended) if from_end else earlier)
                for earlier, later in around
                if later > fault.ended or not from_end
            ]
            found += [max(gaps)] if gaps else []
    return found


def _near(fault: Fault, other: Fault) -> bool:
    apart = other.begun - NEAR > fault.ended or fault.begun > other.ended + NEAR
    return other is not fault and not apart


def summary(values: list[int]) -> str:
    """Min, median and p99."""
    if not values:
        return "none"
    p99 = quantiles(values, n=100)[98] if len(values) > 1 else values[0]
    high = max(values)
    return (
        f"min {min(values)} ms, median {median(values):.0f} ms, p99 {min(p99, high):.0f} ms, "
        f"max {high} ms of {len(values)}"
    )


def report(history: History) -> str:
    """The table."""
    faults = Counter(fault.name for fault in history.faults)
    runs = [record for record in history.records if record.key == "queuedJob"]
    aborted = sum(not record.committed for record in runs)
    outcomes = Counter((call.via, call.op, call.outcome) for call in history.calls)
    lines = [f"  {name:<24}{count:>7}" for name, count in sorted(faults.items())]
    lines += [
        f"  {'runs emitted':<24}{len(runs) - aborted:>7}",
        f"  {'aborted copies':<24}{aborted:>7}",
    ]
    lines += [f"  {'answers sent':<24}{history.sent:>7}"]
    for (via, op, outcome), count in sorted(outcomes.items()):
        lines.append(f"  {f'{via} {op} {outcome}':<24}{count:>7}")
    lines += [
        f"  take-over              {summary(silences(history, TAKE_OVERS))}",
        f"  restart of all         {summary(silences(history, RESTARTS, from_end=True))}",
        f"  hand-over              {summary(silences(history, HAND_OVERS))}",
    ]
    return "\n".join(lines)
