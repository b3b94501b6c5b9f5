"""`scheduling explain`: why a job ran, ran late, or did not run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scheduling_client.cli.options import Common, resolve
from scheduling_client.cli.output import printable, say, show_item
from scheduling_client.cli.times import instant_in, read_instant

if TYPE_CHECKING:
    from scheduling_client.api.explanations import Explanation


def explain(job_id: str, /, *, at: str | None = None, common: Common | None = None) -> None:
    """Say why a job ran, ran late, or did not run at an instant.

    Parameters
    ----------
    job_id
        The id of the job. It may be gone.
    at
        When it was due, such as `2030-01-15T10:30:00Z` or `today at 9:00`; default: the last run,
        or else the next one.
    """
    options = resolve(common)
    instant = instant_in(read_instant(at, "--at", options.zone))
    from scheduling_client.cli.clients import client  # noqa: PLC0415 - it imports gRPC

    with client(options) as service:
        found = service.explain(job_id, instant)
    if options.output == "table":
        for sentence in found.sentences:
            say(printable(sentence))
        return
    show_item(_item(found), options.output, name="verdict")


def _item(found: Explanation) -> dict[str, Any]:
    """As JSON, without the values that are unknown."""
    from scheduling_client.cli.job_texts import epoch_ms  # noqa: PLC0415 - it imports protobuf
    from scheduling_client.cli.run_texts import run_item  # noqa: PLC0415
    from scheduling_client.cli.times import utc_text  # noqa: PLC0415

    item: dict[str, Any] = {"verdict": found.verdict.name, "sentences": [*found.sentences]}
    if found.run is not None:
        item["run"] = run_item(found.run)
    if found.lateness is not None:
        item["lateness_seconds"] = found.lateness.total_seconds()
    if found.owner:
        item["owner"] = found.owner
    for name, time in (("before", found.before), ("after", found.after)):
        if time is not None:
            item[name] = utc_text(epoch_ms(time))
    return item
