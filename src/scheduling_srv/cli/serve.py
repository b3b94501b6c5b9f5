"""The command `serve`: the settings, then the service."""

from __future__ import annotations

import os
from pathlib import Path

from scheduling_srv.domain.errors import StartError
from scheduling_srv.runtime import garbage


def serve(
    *, config: Path | None = None, embedded: bool = False, data_dir: Path | None = None
) -> int:
    """Run one replica until it is told to stop; returns the exit code. Raises `StartError`."""
    if data_dir is not None and not embedded:
        raise StartError("--data-dir is where --embedded keeps its data: give both or neither.")
    with garbage.none_expected():  # 50 ms; the service has it looked for again
        from scheduling_srv.settings.load import load  # noqa: PLC0415

        loaded = load(config)
        # gRPC's own lines would stand beside the one sentence that says what is wrong.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from scheduling_srv.service import service  # noqa: PLC0415

        return service.serve(loaded, embedded=embedded, data_dir=data_dir)
