"""Sets of jobs that are kept as files: apply, diff and export.

A job of a set has the label `managed-by` with the name of the set, and the id `SET/NAME`. Only
jobs with that label are changed or deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from cyclopts import Parameter

from scheduling_client.cli.asking import confirm
from scheduling_client.cli.commands.selecting import Where
from scheduling_client.cli.errors import CommandError, Exit, wrong
from scheduling_client.cli.files import read_file
from scheduling_client.cli.options import Common, Options, resolve
from scheduling_client.cli.output import Columns, Item, show_list

if TYPE_CHECKING:
    from scheduling_client.api.client import Client
    from scheduling_client.api.jobs import Job, JobSpec

LABEL = "managed-by"
COLUMNS: Columns = {"CHANGE": "change", "ID": "id", "PROPERTIES": "properties"}
File = Annotated[str, Parameter(name=["--file", "-f"], allow_leading_hyphen=True)]
SetName = Annotated[str, Parameter(name="--set")]


class Change(NamedTuple):
    """How a job differs from its definition in the file."""

    kind: Literal["create", "update", "delete", "keep"]
    job_id: str
    properties: list[str]
    """Those that differ, of an update."""
    spec: JobSpec | None = None
    """Of the file."""
    revision: int = 0
    """Of the job, as it was compared."""

    def item(self) -> Item:
        """As JSON."""
        found = {"change": self.kind, "id": self.job_id, "properties": self.properties}
        return {key: value for key, value in found.items() if value}


def diff(
    *,
    file: File,
    set_name: SetName,
    prune: bool = False,
    common: Common | None = None,
) -> int:
    """Show how the jobs of a set differ from a file: exit code 1 if they do.

    Parameters
    ----------
    file
        A file of jobs that ends in .yaml, .json or .ndjson; each has a `name`.
    set_name
        The name of the set.
    prune
        Also show the jobs of the set that the file does not have.
    """
    options = resolve(common)
    from scheduling_client.cli.clients import client  # noqa: PLC0415 - it imports gRPC

    wanted = _specs_in(file, set_name)
    with client(options) as service:
        changes = [*_changes(service, wanted, set_name, prune=prune)]
    _show(changes, options)
    return Exit.FAILED if any(each.kind != "keep" for each in changes) else Exit.DONE


def apply(
    *,
    file: File,
    set_name: SetName,
    prune: bool = False,
    yes: bool = False,
    common: Common | None = None,
) -> None:
    """Make the jobs of a set as a file says. It may be repeated: the second time it does nothing.

    Parameters
    ----------
    file
        A file of jobs that ends in .yaml, .json or .ndjson; each has a `name`.
    set_name
        The name of the set.
    prune
        Delete the jobs of the set that the file does not have. It asks first.
    yes
        Do not ask.
    """
    options = resolve(common)
    from scheduling_client.cli.clients import client  # noqa: PLC0415

    wanted = _specs_in(file, set_name)
    with client(options) as service:
        changes = [*_changes(service, wanted, set_name, prune=prune)]
        gone = [each.job_id for each in changes if each.kind == "delete"]
        if gone:
            confirm(f"This deletes {len(gone):,} jobs of the set {set_name}.", yes=yes)
        new = [each.spec for each in changes if each.kind == "create" and each.spec]
        for _ in service.create_many(new):
            pass  # each batch is created as its jobs are asked for
        for each in changes:
            if each.kind == "update" and each.spec:
                values: Any = {name: getattr(each.spec, name) for name in each.properties}
                service.update(each.job_id, revision=each.revision, **values)
        if gone:
            service.delete(*gone)
    _show(changes, options)


def export(
    *,
    set_name: Annotated[str | None, Parameter(name="--set")] = None,
    where: Where | None = None,
    common: Common | None = None,
) -> None:
    """Print jobs as a file that `apply` and `create` read: YAML, or JSON with -o json.

    Parameters
    ----------
    set_name
        The jobs of this set, with their names in place of their ids.
    """
    options = resolve(common)
    from scheduling_client.cli.clients import client  # noqa: PLC0415
    from scheduling_client.cli.job_texts import spec_item  # noqa: PLC0415

    wanted = (where or Where()).filter()
    if set_name is not None:
        wanted = replace(wanted, labels={**wanted.labels, LABEL: set_name})
    with client(options) as service:
        items = [spec_item(job.spec) for job in service.list(wanted, page_size=1000)]
    if set_name is not None:
        items = [_named(item, set_name) for item in items]
    show_list(items, {}, "json" if options.output == "json" else "yaml")


def _named(item: dict[str, Any], set_name: str) -> dict[str, Any]:
    labels = {key: value for key, value in item.pop("labels").items() if key != LABEL}
    name = item.pop("id").removeprefix(f"{set_name}/")
    return {"name": name, **item, **({"labels": labels} if labels else {})}


def _specs_in(file: str, set_name: str) -> dict[str, JobSpec]:
    """Id -> definition. Raises `CommandError`."""
    from scheduling_client.cli.job_texts import items_in, spec_of  # noqa: PLC0415

    found: dict[str, JobSpec] = {}
    for number, item in enumerate(items_in(read_file(file), "input.json" if file == "-" else file)):
        place = f"{file}: job {number}"
        spec = spec_of(_with_id(item, set_name, place), place)
        if spec.schedule is None or not spec.schedule.recurring:
            raise wrong(f"{place}: a set holds recurring jobs: give every or interval.")
        if spec.id in found:
            raise wrong(f"{place}: the name {item['name']!r} stands twice in the file.")
        found[spec.id] = spec
    return found


def _with_id(item: Mapping[str, Any], set_name: str, place: str) -> dict[str, Any]:
    if "id" in item or not item.get("name"):
        raise wrong(f"{place}: a job of a set has a name, and no id.")
    rest = {key: value for key, value in item.items() if key != "name"}
    labels = {**item.get("labels", {}), LABEL: set_name}
    return {**rest, "id": f"{set_name}/{item['name']}", "labels": labels}


def _changes(
    service: Client, wanted: Mapping[str, JobSpec], set_name: str, *, prune: bool
) -> Iterator[Change]:
    there = {job.id: job for job in service.get_many([*wanted])} if wanted else {}
    for job_id, spec in wanted.items():
        job = there.get(job_id)
        if job is None:
            yield Change("create", job_id, [], spec)
            continue
        if job.spec.labels.get(LABEL) != set_name:
            raise CommandError(
                f"The job {job_id} exists and is not of the set {set_name}: it lacks the label"
                f" {LABEL}={set_name}.",
                Exit.CONFLICT,
            )
        names = differing(job, spec)
        yield Change("update" if names else "keep", job_id, names, spec, job.revision)
    if prune:
        for job in service.list(_of_set(set_name), page_size=1000):
            if job.id not in wanted:
                yield Change("delete", job.id, [])


def _of_set(set_name: str) -> Any:  # noqa: ANN401 - a Filter, which is not imported yet
    from scheduling_client.api.jobs import Filter  # noqa: PLC0415

    return Filter(labels={LABEL: set_name})


def differing(job: Job, wanted: JobSpec) -> list[str]:
    """The names of the properties of a job that are not as they are wanted."""
    filled = replace(wanted, timezone=wanted.timezone or "UTC")
    return [
        each.name
        for each in fields(filled)
        if getattr(job.spec, each.name) != getattr(filled, each.name)
    ]


def _show(changes: list[Change], options: Options) -> None:
    shown = [each.item() for each in changes if each.kind != "keep"]
    show_list(shown, COLUMNS, options.output)
