"""Creates jobs: one from options, or many from a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from scheduling_client.cli.commands.properties import Properties
from scheduling_client.cli.errors import wrong
from scheduling_client.cli.files import read_file
from scheduling_client.cli.options import Common, resolve
from scheduling_client.cli.output import show_list
from scheduling_client.cli.tables import COLUMNS, rows_of

if TYPE_CHECKING:
    from scheduling_client.api.client import Client
    from scheduling_client.api.jobs import Job, JobSpec

BATCH = 1000
"""Jobs of one call: as many as the service applies at once."""


def create(
    *,
    id: str | None = None,  # noqa: A002 - the option is called so
    file: Annotated[str | None, Parameter(name=["--file", "-f"], allow_leading_hyphen=True)] = None,
    request_id: str | None = None,
    properties: Properties | None = None,
    common: Common | None = None,
) -> None:
    """Create a job from options, or many from a file.

    Parameters
    ----------
    id
        The id of the job; default: one is made.
    file
        A file of jobs that ends in .yaml, .json or .ndjson; `-`: JSON from the input.
    request_id
        Names the file, so that the command may be repeated: jobs that exist are left out. Jobs
        without an id get one that depends on this name and their place.
    """
    options = resolve(common)
    changes = (properties or Properties()).changes()
    if file is not None and (changes or id is not None):
        raise wrong("Give the properties of a job, or a file: not both.")
    if file is None and request_id is not None:
        raise wrong("--request-id belongs to --file.")
    from scheduling_client.cli.clients import client  # noqa: PLC0415 - it imports gRPC
    from scheduling_client.cli.job_texts import spec_of  # noqa: PLC0415

    specs = (
        [spec_of({**changes, "id": id or ""}, "The job")]
        if file is None
        else [*_specs_in(file, request_id)]
    )
    with client(options) as service:
        created = _create_all(service, specs, request_id)
    show_list(rows_of(created, options), COLUMNS, options.output)


def _specs_in(file: str, request_id: str | None) -> Iterator[JobSpec]:
    from scheduling_client.api.request_ids import derived_id  # noqa: PLC0415
    from scheduling_client.api.triggers import Trigger  # noqa: PLC0415
    from scheduling_client.cli.job_texts import items_in, spec_of  # noqa: PLC0415

    for number, item in enumerate(items_in(read_file(file), "input.json" if file == "-" else file)):
        spec = spec_of(item, f"{file}: job {number}")
        if request_id is not None and spec.schedule and spec.schedule.trigger is Trigger.NOW:
            raise wrong(
                f"{file}: job {number} runs at once: it cannot be found again. Leave"
                " --request-id out."
            )
        if request_id is not None and not spec.id:
            spec = replace(spec, id=derived_id(request_id, number))
        yield spec


def _create_all(service: Client, specs: Sequence[JobSpec], request_id: str | None) -> list[Job]:
    created, left, done = list["Job"](), iter(specs), 0
    while piece := [*islice(left, BATCH)]:
        done += len(piece)
        if request_id is not None:
            known = {job.id for job in service.get_many([spec.id for spec in piece])}
            piece = [spec for spec in piece if spec.id not in known]
        created += service.create_many(piece)
        _progress(done, len(specs))
    return created


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty() and total > BATCH:
        sys.stderr.write(f"\r{done:,} of {total:,} jobs" + ("\n" if done == total else ""))
        sys.stderr.flush()
