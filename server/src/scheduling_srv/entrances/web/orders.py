"""Actions on many things at once: first the count and a question, then step by step.

A request does as much as some seconds allow, tells how far it came, and the page goes on. So no
number of jobs is too large, and whoever closes the page has stopped there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from starlette.responses import Response

from scheduling_client.api.logic import Steps
from scheduling_client.api.request_ids import new_request_id
from scheduling_srv.domain.errors import InvalidRequest
from scheduling_srv.entrances.web import forms
from scheduling_srv.entrances.web.forms import Form
from scheduling_srv.entrances.web.rendering import counted, link
from scheduling_srv.entrances.web.service import Interrupted
from scheduling_srv.entrances.web.visit import Visit, go_to

MATCHING = "matching"
"""The scope of all that match; else those that are selected."""
AT_JOB = "job"
"""The page that the form was on: that of a job."""
MOST_REFUSALS = 10
"""That a page tells."""


class Asked(Protocol):
    """A filter bar, as texts."""

    @property
    def filters(self) -> Mapping[str, str]:
        """The conditions that are set."""

    @property
    def words(self) -> str:
        """The conditions, for a question."""

    def address(self, token: str = "", **other: str) -> str:
        """The page of those that match."""

    def where(self) -> Any:  # noqa: ANN401 - the filter of the kind
        """The conditions, for the calls. Raises `InvalidRequest`."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done, and to which ones."""

    kind: Kind
    action: Action
    asked: Asked
    ids: Sequence[str]
    """Empty: all that match."""
    note: str
    by: str
    request_id: str
    """Names the order, so that a repeated form does nothing twice."""
    at: str
    """The page that the form was on."""

    @classmethod
    def of(cls, kind: Kind, form: Form, by: str) -> Order:
        """Raises `InvalidRequest`."""
        action = kind.actions.get(forms.text(form, "action"))
        if action is None:
            raise InvalidRequest(f"There is no action {forms.text(form, 'action')!r}.")
        ids = [] if forms.text(form, "scope") == MATCHING else list(form.get(kind.field, ()))
        if forms.text(form, "scope") != MATCHING and not ids:
            raise InvalidRequest(
                f"No {kind.noun} is selected: select some, or choose all that match."
            )
        return cls(
            kind,
            action,
            kind.asked({name: values[-1] for name, values in form.items()}),
            ids,
            forms.text(form, "note"),
            by,
            forms.text(form, "request_id") or new_request_id(),
            forms.text(form, "at"),
        )

    def back(self, said: str = "") -> str:
        """The page that the form was on."""
        job_id = self.asked.filters.get("job", "")
        if self.at == AT_JOB and job_id:
            return link("/job", id=job_id, said=said)
        return self.asked.address(said=said)


Make = Callable[[Order, Any, bool], Steps[Any]]
"""The calls of an order. Its filter is None for selected ones; the last argument: only count."""


class Action(NamedTuple):
    """One thing that can be done."""

    verb: str
    done: str
    """As in "3 jobs were paused"."""
    make: Make
    hint: str
    nothing: str
    """Why there is nothing to do."""
    is_final: bool = False
    """It cannot be undone: a box has to be ticked."""
    has_note: bool = False


class Kind(NamedTuple):
    """The things that actions are about."""

    noun: str
    field: str
    """Of the ids in forms."""
    path: str
    """Of the question; `/do` follows for the deed."""
    actions: Mapping[str, Action]
    asked: Callable[[Mapping[str, str]], Asked]
    """Reads the filter bar."""


Page = Callable[[Visit], Awaitable[Response]]


async def _step(visit: Visit, order: Order, token: str, *, dry_run: bool) -> Interrupted:
    """Do an order from a token on, for some seconds; or only count."""
    where = None if order.ids else order.asked.where()
    steps = order.action.make(order, where, dry_run)
    return await visit.site.v1.run_bulk(visit.guest.visitor, steps, token)


def pages(kind: Kind) -> Mapping[str, Page]:
    """Address -> page: the question, and the deed."""

    async def ask(visit: Visit) -> Response:
        order = Order.of(kind, await visit.form(), visit.guest.visitor.caller.name)
        counts = await _step(visit, order, "", dry_run=True)
        return visit.page(
            "order.html",
            order=order,
            count=counts.progress.changed,
            more=bool(counts.token),
            refusals=counts.refusals[:MOST_REFUSALS],
            refused=len(counts.refusals),
        )

    async def do(visit: Visit) -> Response:
        form = await visit.form()
        order = Order.of(kind, form, visit.guest.visitor.caller.name)
        if order.action.is_final and not forms.text(form, "sure"):
            raise InvalidRequest(f"Tick the box if you want to {order.action.verb} them.")
        came = await _step(visit, order, forms.text(form, "after"), dry_run=False)
        done = forms.whole(form, "done") + came.progress.changed
        refused = forms.whole(form, "refused") + len(came.refusals)
        if came.token:
            return visit.page(
                "order_going.html", order=order, done=done, refused=refused, after=came.token
            )
        were = "was" if done == 1 else "were"
        rest = f" {counted(refused, kind.noun)} could not be." if refused else ""
        return go_to(order.back(f"{counted(done, kind.noun)} {were} {order.action.done}.{rest}"))

    return {kind.path: ask, f"{kind.path}/do": do}
