"""Commands that create, show and change jobs, by the contract of 2018."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from scheduling_client.cli.asking import confirm
from scheduling_client.cli.errors import CommandError, Exit, wrong
from scheduling_client.cli.options import Common, Options, resolve
from scheduling_client.cli.output import Columns, note, say, show_item, show_list
from scheduling_client.cli.times import now_ms, utc_text
from scheduling_client.schedules import preview as schedules
from scheduling_client.schedules.cron import looks_like_cron
from scheduling_client.schedules.errors import ScheduleError

if TYPE_CHECKING:
    from scheduling_client.cli.calls import Service
    from scheduling_client.wire.job_pb2 import Job

BATCH = 1000
"""Jobs of one call: as many as the service applies at once."""
NEXT_TIMES = 5
COLUMNS: Columns = {"ID": "id", "TYPE": "type", "CREATOR": "creator", "SCHEDULE": "words"}
Priority = Literal["LOW", "NORMAL", "MEDIUM", "HIGH", "CRITICAL"]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Properties:
    """The properties of a job."""

    type: Annotated[str | None, Parameter(help="Tells workers which work to do.")] = None
    creator: Annotated[str | None, Parameter(help="Who creates the job.")] = None
    timezone: Annotated[str | None, Parameter(help="IANA name, for cron and local dates.")] = None
    now: Annotated[bool, Parameter(negative="", help="Run once, at once.")] = False
    at: Annotated[str | None, Parameter(help="Run once, at an instant or a date in words.")] = None
    interval: Annotated[
        str | None,
        Parameter(
            name=["--interval", "--every", "--cron"],
            help="Run again and again: a cron expression, or an interval such as `2 minutes`.",
        ),
    ] = None
    priority: Annotated[Priority | None, Parameter(help="Order among due runs.")] = None
    attempts: Annotated[int | None, Parameter(help="How often a run is tried in all.")] = None
    delay_ms: Annotated[float | None, Parameter(help="Time before another attempt.")] = None
    backoff: Annotated[
        Literal["FIXED", "EXPONENTIAL"] | None, Parameter(help="How that time grows.")
    ] = None
    parallel: Annotated[
        int | None, Parameter(help="Start only while fewer runs of the type are unanswered.")
    ] = None
    payload_json: Annotated[str | None, Parameter(help="The payload, as JSON.")] = None
    payload_file: Annotated[
        str | None,
        Parameter(
            name=["--payload-file", "--payload"],
            help="A file with the payload; `-`: the input.",
            allow_leading_hyphen=True,
        ),
    ] = None

    def changes(self) -> dict[str, Any]:
        """The properties that were given, by their keys in `job_texts`."""
        names = "type creator timezone interval priority attempts parallel".split()
        found = {name: getattr(self, name) for name in names}
        found["when"] = self.at
        found["now"] = self.now or None
        found["payload"] = self._payload()
        if self.delay_ms is not None or self.backoff:
            found["backoff"] = {"delay_ms": self.delay_ms or 0, "type": self.backoff or "FIXED"}
        changes = {name: value for name, value in found.items() if value is not None}
        if len(triggers := {"interval", "when", "now"} & set(changes)) > 1:
            raise wrong(f"A job has one schedule: {' and '.join(sorted(triggers))} are given.")
        return changes

    def _payload(self) -> list[dict[str, str]] | None:
        if self.payload_json is not None and self.payload_file is not None:
            raise wrong("Give --payload-json or --payload-file, not both.")
        if self.payload_json is not None:
            try:
                json.loads(self.payload_json)
            except ValueError as error:
                raise wrong(f"--payload-json is not JSON: {error}.") from None
            return [{"text": self.payload_json}]
        if self.payload_file is not None:
            return [{"text": read_file(self.payload_file)}]
        return None


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
        The id of the job; default: the service makes one.
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
    from scheduling_client.cli.job_texts import item_of  # noqa: PLC0415 - it imports protobuf

    with _service(options) as service:
        if file is not None:
            created = _create_all(service, file, request_id)
        else:
            created = [*service.create([_new_job(changes, id)])]
    show_list([item_of(job) for job in created], COLUMNS, options.output)


def _new_job(changes: dict[str, Any], job_id: str | None) -> Job:
    from scheduling_client.cli.job_texts import job_of  # noqa: PLC0415

    return job_of({**changes, "id": job_id or ""}, "The job")


def _create_all(service: Service, file: str, request_id: str | None) -> list[Job]:
    jobs = [*_jobs_in(file, request_id)]
    created: list[Job] = []
    for first in range(0, len(jobs), BATCH):
        batch = jobs[first : first + BATCH]
        if request_id is not None:
            known = {job.id for job in service.read(ids=[job.id for job in batch]).items}
            batch = [job for job in batch if job.id not in known]
        if batch:
            created += service.create(batch)
        _progress(min(first + BATCH, len(jobs)), len(jobs))
    return created


def _jobs_in(file: str, request_id: str | None) -> Iterator[Job]:
    from scheduling_client.cli.job_texts import items_in, job_of  # noqa: PLC0415

    for number, item in enumerate(items_in(read_file(file), "input.json" if file == "-" else file)):
        job = job_of(item, f"{file}: job {number}")
        if request_id is not None and job.now:
            raise wrong(
                f"{file}: job {number} runs at once: it cannot be found again. Leave"
                " --request-id out."
            )
        if request_id is not None and not job.id:
            job.id = derived_id(request_id, number)
        yield job


def derived_id(request_id: str, number: int) -> str:
    """The id of the n-th job of a request, the same each time."""
    digest = hashlib.sha256(request_id.encode()).hexdigest()[:16]
    return f"~{digest}-{number}"


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty() and total > BATCH:
        sys.stderr.write(f"\r{done:,} of {total:,} jobs" + ("\n" if done == total else ""))
        sys.stderr.flush()


def list_jobs(
    *,
    creator: str = "",
    limit: int = 100,
    newest: bool = False,
    common: Common | None = None,
) -> None:
    """List jobs in the order of their creation.

    Parameters
    ----------
    creator
        Only those of this creator.
    limit
        How many at most; 0: all.
    newest
        The newest first.
    """
    options = resolve(common)
    from scheduling_client.cli.job_texts import item_of  # noqa: PLC0415

    with _service(options) as service:
        found = service.read(creator=creator, limit=limit, newest_first=newest)
    show_list([item_of(job) for job in found.items], COLUMNS, options.output)
    if options.output == "table" and found.total_count > len(found.items):
        note(f"{len(found.items):,} of {found.total_count:,} jobs: --limit shows more.")


def show(job_id: str, /, *more_ids: str, common: Common | None = None) -> None:
    """Show jobs: their properties, their schedule in words, the next runs of cron.

    Parameters
    ----------
    job_id
        The id of a job.
    more_ids
        Further ids.
    """
    options = resolve(common)
    from scheduling_client.cli.job_texts import item_of  # noqa: PLC0415

    ids = [job_id, *more_ids]
    with _service(options) as service:
        found = {job.id: job for job in service.read(ids=ids).items}
    items = [{**item_of(found[each]), **_next(found[each])} for each in ids if each in found]
    if options.output == "table":
        for number, item in enumerate(items):
            if number:
                say()
            show_item(item, options.output)
    else:
        show_list(items, COLUMNS, options.output)
    missing = [each for each in ids if each not in found]
    if missing:
        raise CommandError(
            f"No job has the id {missing[0]!r}. 'scheduling list' shows the jobs that exist; jobs"
            " that run at once are never shown.",
            Exit.NOT_FOUND,
        )


def _next(job: Job) -> dict[str, Any]:
    """The next times of a cron job. Only the service knows the phase of an interval."""
    if not job.interval or not looks_like_cron(job.interval):
        return {}
    try:
        found = schedules.preview(
            job.interval, now=now_ms(), timezone=job.data.timezone, count=NEXT_TIMES
        )
    except ScheduleError:
        return {}
    return {"next": [{"local": time.local, "utc": utc_text(time.instant)} for time in found.times]}


def update(
    job_id: str, /, *, properties: Properties | None = None, common: Common | None = None
) -> None:
    """Change the properties of a job that are given, and keep the others.

    The command reads the job and writes it back. A change that is made in between is lost.

    Parameters
    ----------
    job_id
        The id of the job.
    """
    options = resolve(common)
    changes = (properties or Properties()).changes()
    if not changes:
        raise wrong("Nothing is to be changed: 'scheduling update --help' lists the properties.")
    from scheduling_client.cli.job_texts import changed, item_of  # noqa: PLC0415

    with _service(options) as service:
        found = service.read(ids=[job_id]).items
        if not found:
            raise CommandError(f"No job has the id {job_id!r}.", Exit.NOT_FOUND)
        updated = service.update([changed(found[0], changes)])
    show_list([item_of(job) for job in updated], COLUMNS, options.output)


def delete(
    *ids: str,
    all: bool = False,  # noqa: A002 - the option is called so
    yes: bool = False,
    common: Common | None = None,
) -> None:
    """Delete jobs. Unknown ids are no error.

    Parameters
    ----------
    ids
        The ids of the jobs.
    all
        All jobs. It says how many, and asks first.
    yes
        Do not ask.
    """
    options = resolve(common)
    if bool(ids) == all:
        raise wrong("Name the ids of the jobs to delete, or give --all.")
    with _service(options) as service:
        if all:
            count = service.read(limit=1).total_count
            confirm(f"This deletes {count:,} jobs of the service at {options.server}.", yes=yes)
            service.delete(everything=True)
        rest = iter(ids)
        while batch := [*islice(rest, BATCH)]:
            service.delete(batch)


def read_file(name: str) -> str:
    """The text of a file; `-`: of the input. Raises `CommandError`."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text()
    except OSError as error:
        raise wrong(f"{name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise wrong(f"{name} is not a text in UTF-8.") from None


def _service(options: Options) -> AbstractContextManager[Service]:
    from scheduling_client.cli.calls import service  # noqa: PLC0415

    return service(options)
