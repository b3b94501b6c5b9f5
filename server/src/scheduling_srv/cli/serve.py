"""The command `serve`: the settings, then the service."""

from __future__ import annotations

import os
from pathlib import Path

from scheduling_srv.domain.errors import StartError
from scheduling_srv.runtime import garbage


def serve(
    *, config: Path | None = None, embedded: bool = False, data_dir: Path | None = None
) -> int:
    """Run one replica until a signal stops it; returns the exit code. Raises `StartError`."""
    if data_dir is not None and not embedded:
        raise StartError("--data-dir holds the data of --embedded: give both or neither.")
    with garbage.none_expected():  # saves 50 ms; the service turns the collector on again
        from scheduling_srv.settings.load import load  # noqa: PLC0415

        loaded = load(config)
        # Otherwise gRPC prints its own lines beside the one sentence about a wrong setting.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from scheduling_srv.service import service  # noqa: PLC0415

        return service.serve(loaded, embedded=embedded, data_dir=data_dir)
