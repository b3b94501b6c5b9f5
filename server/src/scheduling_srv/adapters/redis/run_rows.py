"""A run as the scripts name it: job id, creation number, nominal ms, origin."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_srv.domain.run import RunId, RunOrigin


def values_of(run: RunId) -> tuple[str, int, int, int]:
    """As scripts take it."""
    return run.job_id, run.seq, run.nominal, run.origin.stored


def run_in(values: Sequence[bytes | str | int]) -> RunId:
    """The inverse of `values_of`, for values of any of these types."""
    job_id, seq, nominal, origin = values
    text = job_id.decode() if isinstance(job_id, bytes) else str(job_id)
    return RunId(text, int(seq), int(nominal), RunOrigin.of_stored(int(origin)))
