"""Runs of the history, from the bytes that scripts store (docs/decisions/0031)."""

from __future__ import annotations

from scheduling_srv.domain.run import Run, RunId, RunOrigin, RunOutcome, RunState
from scheduling_srv.formats.layouts import RAN

_RAN = RAN.struct


def read_ran(text: bytes) -> Run:
    """A run that has ended; of an open one, all but its state."""
    _, seq, nominal, started, ended, instance, attempts, most, origin, outcome, type_size, size = (
        _RAN.unpack_from(text)
    )
    error_at = _RAN.size + type_size
    id_at = error_at + size
    run_id = RunId(text[id_at:].decode(), seq, nominal, RunOrigin.of_stored(origin))
    return Run(
        run_id,
        text[_RAN.size : error_at].decode(errors="replace"),
        RunState.ENDED,
        attempts=attempts,
        most=most,
        instance=instance,
        started=started,
        ended=ended,
        outcome=RunOutcome(outcome),
        error=text[error_at:id_at].decode(errors="replace"),
    )
