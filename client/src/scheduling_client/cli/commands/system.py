"""Commands about the service as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scheduling_client.cli.asking import confirm
from scheduling_client.cli.errors import CommandError, Exit
from scheduling_client.cli.options import Common, Options, resolve
from scheduling_client.cli.output import show_item

SERVING = "SERVING"


def health(*, service: str | None = None, common: Common | None = None) -> int:
    """Ask whether the service serves: exit code 0 if it does, 1 if not, 5 without an answer.

    Parameters
    ----------
    service
        Logical name of one service, such as io-restorecommerce-scheduling-srv.
    """
    options = resolve(common)
    result = _command(options, "health_check", {"service": service} if service else {})
    show_item(result, options.output, name="status")
    return Exit.DONE if result["status"] == SERVING else Exit.FAILED


def version(*, client: bool = False, common: Common | None = None) -> None:
    """Show the versions of this command and of the service.

    Parameters
    ----------
    client
        Only that of this command: no service is asked.
    """
    from importlib.metadata import version as version_of  # noqa: PLC0415 - it takes 20 ms

    options = resolve(common)
    versions = {"client": version_of("scheduling-client")}
    if not client:
        found = _command(options, "version", {})
        versions |= {"service": found["version"], "python": found["python"]}
    show_item(versions, options.output, name="client")


def reset(*, yes: bool = False, common: Common | None = None) -> None:
    """Delete all jobs and all runs. It asks first.

    Parameters
    ----------
    yes
        Do not ask.
    """
    options = resolve(common)
    confirm(f"This deletes all jobs and runs of the service at {options.server}.", yes=yes)
    show_item(_command(options, "reset", {}), options.output, name="status")


def restore(
    *,
    offset: int = 0,
    ignore_offset: Sequence[int] = (),
    common: Common | None = None,
) -> None:
    """Begin to put jobs back from the resource topic. Its end is a restoreResponse on Kafka.

    Parameters
    ----------
    offset
        The first offset to read.
    ignore_offset
        An offset to skip; may be given several times.
    """
    options = resolve(common)
    jobs = {"offset": offset, "ignore_offset": [*ignore_offset]}
    _command(options, "restore", {"jobs": jobs})
    show_item({"status": "The restore has begun."}, options.output, name="status")


def _command(options: Options, name: str, payload: object) -> dict[str, Any]:
    from scheduling_client.cli.calls import service  # noqa: PLC0415 - it imports gRPC

    with service(options) as called:
        result = called.command(name, payload)
    if "error" in result:
        raise CommandError(result["error"])
    return result
