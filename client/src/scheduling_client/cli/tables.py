"""Jobs as rows of a table, in the reader's time zone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from scheduling_client.cli.options import Options
from scheduling_client.cli.output import Columns

if TYPE_CHECKING:
    from scheduling_client.api.jobs import Job

COLUMNS: Columns = {
    "ID": "id",
    "TYPE": "type",
    "CREATOR": "creator",
    "STATE": "state",
    "NEXT": "next_here",
    "SCHEDULE": "words",
}


def rows_of(jobs: Iterable[Job], options: Options) -> list[dict[str, Any]]:
    """The jobs as JSON. A table also gets the next time in the reader's zone."""
    from scheduling_client.cli.job_texts import epoch_ms, item_of  # noqa: PLC0415
    from scheduling_client.schedules.preview import local_text  # noqa: PLC0415

    rows = []
    for job in jobs:
        row = item_of(job)
        if options.output == "table" and job.next_times:
            row["next_here"] = local_text(epoch_ms(job.next_times[0]), options.zone)
        rows.append(row)
    return rows
