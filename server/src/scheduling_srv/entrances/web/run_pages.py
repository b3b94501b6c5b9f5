"""Runs: open ones and those that have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from starlette.responses import Response

from scheduling_client.api import run_logic
from scheduling_client.api.jobs import Outcome, RunFilter, RunState
from scheduling_srv.domain.errors import InvalidRequest
from scheduling_srv.entrances.web.filter_bar import FilterBar
from scheduling_srv.entrances.web.rendering import link
from scheduling_srv.entrances.web.visit import Visit

PAGE_RUNS = 50
MOST_GROUPS = 20


class Shown(NamedTuple):
    """Which runs a choice of the filter bar shows."""

    states: Sequence[RunState] = ()
    outcomes: Sequence[Outcome] = ()


FAILED = "failed"
CHOICES: Mapping[str, Shown] = {
    "running": Shown([RunState.RUNNING]),
    "held": Shown([RunState.HELD]),
    "retrying": Shown([RunState.RETRYING]),
    FAILED: Shown(outcomes=[Outcome.FAILED, Outcome.TIMED_OUT]),
    "done": Shown(outcomes=[Outcome.DONE]),
    "missed": Shown(outcomes=[Outcome.MISSED]),
    "skipped": Shown(outcomes=[Outcome.SKIPPED]),
    "cancelled": Shown(outcomes=[Outcome.CANCELLED]),
}
OPEN: Sequence[RunState] = (RunState.HELD, RunState.RUNNING, RunState.RETRYING)


@dataclass(frozen=True, slots=True)
class Asked(FilterBar):
    """The filter bar, as texts."""

    FIELDS = ("show", "type", "job", "error")

    show: str = ""
    type: str = ""
    job: str = ""
    error: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Asked:
        """From the parameters of an address, or the fields of a form.

        Spaces count: an error is compared as a whole.
        """
        return cls(**{name: given.get(name, "") for name in cls.FIELDS})

    def where(self) -> RunFilter:
        """Raises `InvalidRequest` for a choice that there is not."""
        if self.show and self.show not in CHOICES:
            raise InvalidRequest(f"There is no choice {self.show!r}: {', '.join(CHOICES)}.")
        chosen = CHOICES.get(self.show, Shown())
        return RunFilter(
            job_id=self.job,
            type=self.type,
            states=chosen.states,
            outcomes=chosen.outcomes,
            error=self.error,
        )

    def address(self, token: str = "", **other: str) -> str:
        """The page of these runs."""
        return link("/runs", **{**self.filters, **other}, after=token)

    @property
    def offered(self) -> Sequence[str]:
        """The actions that these runs may need."""
        shown = CHOICES.get(self.show, Shown(OPEN, [Outcome.FAILED]))
        is_failed = Outcome.FAILED in shown.outcomes
        is_open = shown.states and not self.error  # runs with an error have ended
        return [*(["cancel"] if is_open else []), *(["retry"] if is_failed else [])]

    @property
    def words(self) -> str:
        """The conditions, for a question."""
        names = {"show": "state"}
        return ", ".join(f"{names.get(name, name)} {each}" for name, each in self.filters.items())


async def runs(visit: Visit) -> Response:
    """A page of the runs that match, and failures by error."""
    asked, token = Asked.of(visit.request.query_params), visit.query("after")
    page = await visit.run(run_logic.list_page(asked.where(), PAGE_RUNS, token))
    groups = []
    if asked.show == FAILED and not (asked.job or asked.error or token):
        groups = await visit.run(run_logic.failures(asked.type, MOST_GROUPS))
    return visit.page(
        "runs.html", asked=asked, choices=list(CHOICES), page=page, token=token, groups=groups
    )
