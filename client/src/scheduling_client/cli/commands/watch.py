"""`scheduling watch`: events as they happen, each in a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from scheduling_client.cli.commands.properties import labels_of
from scheduling_client.cli.options import Common, Options, resolve
from scheduling_client.cli.output import printable, say

if TYPE_CHECKING:
    from scheduling_client.api.events import Event

Kind = Literal[
    "CREATED",
    "DELETED",
    "QUEUED",
    "DONE",
    "FAILED",
    "TIMED_OUT",
    "FINALLY_FAILED",
    "SKIPPED",
    "MISSED",
    "PAUSED",
    "RESUMED",
    "CANCELLED",
    "HEARTBEAT",
]


def watch(
    *,
    job: str = "",
    type: str = "",  # noqa: A002 - the option is called so
    label: Sequence[str] = (),
    kind: Sequence[Kind] = (),
    cursor: str = "",
    common: Common | None = None,
) -> None:
    """Show events of jobs and runs as they happen, until Ctrl-C. It reconnects by itself.

    Parameters
    ----------
    job
        Of the job with this id.
    type
        Of jobs of this type.
    label
        Of jobs with this label `key=value`; several times: all.
    kind
        Of this kind; several: any.
    cursor
        Go on after an earlier event, as `-o json` shows it.
    """
    options = resolve(common)
    from scheduling_client.api.events import EventFilter, EventKind  # noqa: PLC0415
    from scheduling_client.cli.clients import client  # noqa: PLC0415 - it imports gRPC

    where = EventFilter(
        job_id=job,
        type=type,
        labels=labels_of(label),
        kinds=[EventKind[name] for name in kind],
    )
    with client(options) as service:
        for event in service.watch(where, cursor=cursor):
            say(_line(event, options))
            sys.stdout.flush()


def _line(event: Event, options: Options) -> str:
    from scheduling_client.cli.job_texts import epoch_ms  # noqa: PLC0415
    from scheduling_client.cli.times import utc_text  # noqa: PLC0415
    from scheduling_client.schedules.preview import local_text  # noqa: PLC0415

    if options.output in ("json", "yaml"):  # one JSON object a line is YAML as well
        at = utc_text(epoch_ms(event.time)) if event.time else None
        return json.dumps(_item(event, at), ensure_ascii=False)
    if options.output == "name":
        return event.job_id or event.type
    at = local_text(epoch_ms(event.time), options.zone) if event.time else "-"
    run = f"attempt {event.run.attempts}" if event.run and event.run.attempts else ""
    about = f"{event.count} runs" if event.count > 1 else run
    words = (f"{event.job_id or '-':<16}", f"{event.type or '-':<12}", about, event.reason)
    text = f"{at}  {event.kind.name:<14}  " + "  ".join(word for word in words if word).rstrip()
    return printable(text)


def _item(event: Event, at: str | None) -> dict[str, Any]:
    item = {
        "id": event.id,
        "kind": event.kind.name,
        "time": at,
        "job_id": event.job_id,
        "type": event.type,
        "run_id": event.run.run_id if event.run else "",
        "attempt": event.run.attempts if event.run else 0,
        "count": event.count,
        "reason": event.reason,
        "by": event.by,
        "cursor": event.cursor,
    }
    return {key: value for key, value in item.items() if value}
