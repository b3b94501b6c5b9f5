"""Which runs a command shows or changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from scheduling_client.cli.errors import wrong
from scheduling_client.cli.options import Options
from scheduling_client.cli.times import instant_in, read_instant

if TYPE_CHECKING:
    from scheduling_client.api.jobs import RunFilter

State = Literal["HELD", "RUNNING", "RETRYING", "ENDED"]
Outcome = Literal["DONE", "FAILED", "TIMED_OUT", "CANCELLED", "SKIPPED", "MISSED", "REFUSED"]
Origin = Literal["SCHEDULE", "MANUAL", "BACKFILL"]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class RunWhere:
    """Filters. All that are given apply."""

    job: Annotated[str, Parameter(help="Runs of this job.")] = ""
    type: Annotated[str, Parameter(help="Runs of jobs of this type.")] = ""
    state: Annotated[Sequence[State], Parameter(help="Runs in this state; several: any.")] = ()
    outcome: Annotated[
        Sequence[Outcome], Parameter(help="Runs with this outcome; several: any.")
    ] = ()
    origin: Annotated[Sequence[Origin], Parameter(help="Why they exist; several: any.")] = ()
    since: Annotated[
        str | None, Parameter(help="Due then or later: an instant, or `yesterday at noon`.")
    ] = None
    until: Annotated[str | None, Parameter(help="Due before then.")] = None
    error: Annotated[str, Parameter(help="Runs with exactly this error.")] = ""

    @property
    def given(self) -> bool:
        """Whether any filter is given."""
        return self != RunWhere()

    def filter(self, options: Options) -> RunFilter:
        """For the client. Raises `CommandError` for an instant that is not understood."""
        from scheduling_client.api import jobs  # noqa: PLC0415 - it imports protobuf

        return jobs.RunFilter(
            job_id=self.job,
            type=self.type,
            states=[jobs.RunState[name] for name in self.state],
            outcomes=[jobs.Outcome[name] for name in self.outcome],
            origins=[jobs.Origin[name] for name in self.origin],
            since=instant_in(read_instant(self.since, "--since", options.zone)),
            until=instant_in(read_instant(self.until, "--until", options.zone)),
            error=self.error,
        )


def filter_of(
    ids: Sequence[str], where: RunWhere | None, verb: str, options: Options, *, is_all: bool
) -> RunFilter | None:
    """The filter of a bulk command; None: there are ids. Raises `CommandError` for both or none."""
    filters = where or RunWhere()
    if sum((bool(ids), is_all, filters.given)) != 1:
        raise wrong(f"Name the ids of the runs to {verb}, or give filters, or --all.")
    return None if ids else filters.filter(options)


def question(verb: str, count: int, options: Options) -> str:
    """Before a bulk command."""
    return f"This {verb} {count:,} runs of the service at {options.server}."
