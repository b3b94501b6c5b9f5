"""A rule about health: no replica says SERVING while due runs make no progress."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from chaos.history import METRONOME
from chaos.model import Model, Version, Violation

PROGRESS_MS = 5_000
"""How long the service may be SERVING without progress (docs/contract.md)."""
SLACK_MS = 2_500
"""For the age of a report, the probes, the question itself, and the way of a record."""
EARLY_MS = 1_750
"""How long a replica may say SERVING before the record that ends the silence. An owner that has
just recovered is SERVING while its first transaction is in progress, and may be killed in it. The
same for one that recovers within the silence, and meets a fault before its first record."""


class Span(NamedTuple):
    """From one instant to another, in epoch ms."""

    begin: int
    end: int

    def within(self, other: Span) -> Span:
        """The part that both share; it ends before it begins if there is none."""
        return Span(max(self.begin, other.begin), min(self.end, other.end))


def falsely_serving(model: Model) -> Iterator[Violation]:
    """SERVING for longer than allowed while the metronome was due and no record came."""
    served = _served(model)
    for due in _due(model):
        for silence in _silences(model, due):
            begin = silence.begin + PROGRESS_MS + SLACK_MS + model.skew
            wrong = Span(begin, silence.end - EARLY_MS)
            for replica, spans in served.items():
                for span in spans:
                    shared = span.within(wrong)
                    if shared.begin < shared.end and not _is_cut_short(model, span, wrong):
                        yield Violation(
                            "health",
                            f"{replica} said SERVING {shared.begin - silence.begin} ms after the"
                            f" last record at {silence.begin}; the next one came at {silence.end}",
                        )
                        break


def _is_cut_short(model: Model, span: Span, wrong: Span) -> bool:
    """Whether an owner may have recovered in it, and met a fault before its first record."""
    if span.begin < wrong.begin or span.end - span.begin > EARLY_MS:
        return False
    return any(
        fault.begun <= span.end and span.begin <= fault.ended for fault in model.history.faults
    )


def _due(model: Model) -> Iterator[Span]:
    """When a metronome lived: something was due all the time then."""
    for version in model.versions.values():
        if version.ask.type.startswith(METRONOME) and version.created:
            yield Span(version.created[0].at, _end(model, version))


def _end(model: Model, version: Version) -> int:
    deleted = version.deleted.at if version.deleted else model.settled
    return min(deleted, model.end_begins(version), model.settled)


def _silences(model: Model, due: Span) -> Iterator[Span]:
    """Times without a committed record of the service, long enough to be judged."""
    progress = [run.at for run in (*model.runs, *model.again)]
    progress += [event.at for events in model.events.values() for event in events]
    inside = sorted(at for at in progress if due.begin <= at <= due.end)
    for before, after in pairwise([due.begin, *inside, due.end]):
        if after - before > PROGRESS_MS + SLACK_MS:
            yield Span(before, after)


def _served(model: Model) -> dict[str, Sequence[Span]]:
    """For each replica when it said SERVING."""
    found: dict[str, list[Span]] = {}
    since: dict[str, int] = {}
    for said in model.history.health:
        if said.serving:
            since.setdefault(said.replica, said.at)
        elif said.replica in since:
            span = Span(since.pop(said.replica), said.at)
            found.setdefault(said.replica, []).append(span)
    for replica, begin in since.items():
        found.setdefault(replica, []).append(Span(begin, model.settled))
    return {replica: tuple(spans) for replica, spans in found.items()}
