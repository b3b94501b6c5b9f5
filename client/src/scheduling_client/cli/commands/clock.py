"""`scheduling advance`: lets time pass for a service with a test clock."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from scheduling_client.cli.errors import wrong
from scheduling_client.cli.options import Common, resolve
from scheduling_client.cli.output import show_item
from scheduling_client.cli.times import utc_text
from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.interval import parse_interval

PATIENCE_MS = 10_000


def advance(
    by: str,
    /,
    *,
    answered: Annotated[bool, Parameter(negative="")] = False,
    common: Common | None = None,
) -> None:
    """Let time pass for a service that was started with --embedded --test-clock.

    It returns when all that is due until then has been emitted, in the order of its times.

    Parameters
    ----------
    by
        How much time, such as `1 day` or `90 minutes`.
    answered
        Go on from each instant only when its runs are answered; each instant has 10 s for that.
    """
    options = resolve(common)
    try:
        milliseconds = parse_interval(by)
    except ScheduleError as error:
        raise wrong(str(error)) from None
    from scheduling_client.api.test_clock import advance as move  # noqa: PLC0415 - it imports gRPC
    from scheduling_client.cli.clients import channel  # noqa: PLC0415

    with channel(options) as (connected, access):
        now = move(
            connected,
            milliseconds,
            patience_ms=PATIENCE_MS if answered else None,
            timeout=options.timeout_seconds,
            headers=access.headers,
        )
    show_item({"now": utc_text(now)}, options.output, name="now")
