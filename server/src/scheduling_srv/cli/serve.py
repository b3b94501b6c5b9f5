"""The command `serve`: the settings, then the service."""

from __future__ import annotations

import math
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from scheduling_srv.domain.errors import StartError
from scheduling_srv.runtime import garbage

if TYPE_CHECKING:
    from scheduling_srv.adapters.clock import HeldClock


def serve(
    *,
    config: Path | None = None,
    embedded: bool = False,
    data_dir: Path | None = None,
    test_clock: bool = False,
    clock_start: datetime | None = None,
) -> int:
    """Run one replica until a signal stops it; returns the exit code. Raises `StartError`."""
    if data_dir is not None and not embedded:
        raise StartError("--data-dir holds the data of --embedded: give both or neither.")
    clock = _held_clock(clock_start, test_clock=test_clock, embedded=embedded, kept=data_dir)
    with garbage.none_expected():  # saves 50 ms; the service turns the collector on again
        from scheduling_srv.settings.load import load  # noqa: PLC0415

        loaded = load(config)
        # Otherwise gRPC prints its own lines beside the one sentence about a wrong setting.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from scheduling_srv.service import service  # noqa: PLC0415

        return service.serve(loaded, embedded=embedded, data_dir=data_dir, clock=clock)


def _held_clock(
    start: datetime | None, *, test_clock: bool, embedded: bool, kept: Path | None
) -> HeldClock | None:
    """The clock of a service under test, at a whole second. Raises `StartError`."""
    if not test_clock:
        if start is not None:
            raise StartError("--clock-start is where a test clock begins: give --test-clock too.")
        return None
    if not embedded:
        raise StartError("--test-clock is for tests of schedules: it needs --embedded.")
    if kept is not None:
        raise StartError("--test-clock begins anew with each start: give no --data-dir.")
    from scheduling_srv.adapters.clock import HeldClock  # noqa: PLC0415

    now = time.time()
    if start is None:
        return HeldClock(math.ceil(now) * 1000)
    begins = (start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp()
    if begins < now:
        raise StartError("--clock-start has passed: workers drop runs that are so late.")
    return HeldClock(math.ceil(begins) * 1000)
