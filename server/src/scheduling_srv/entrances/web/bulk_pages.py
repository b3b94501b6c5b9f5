"""Actions on many jobs: first the count and a question, then step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from scheduling_client.api import logic
from scheduling_client.api.jobs import Filter, Progress
from scheduling_client.api.logic import Steps
from scheduling_srv.domain.errors import InvalidRequest
from scheduling_srv.entrances.web import forms
from scheduling_srv.entrances.web.filters import Asked
from scheduling_srv.entrances.web.forms import Form
from scheduling_srv.entrances.web.rendering import number
from scheduling_srv.entrances.web.visit import Visit, go_to

MATCHING = "matching"
"""The scope of all jobs that match; else those that are selected."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done, and to which jobs."""

    action: str
    asked: Asked
    ids: Sequence[str]
    """Empty: all that match."""
    note: str
    by: str

    @classmethod
    def of(cls, form: Form, by: str) -> Order:
        """Raises `InvalidRequest`."""
        action = forms.text(form, "action")
        if action not in ACTIONS:
            raise InvalidRequest(f"There is no action {action!r}.")
        ids = [] if forms.text(form, "scope") == MATCHING else list(form.get("job", ()))
        if forms.text(form, "scope") != MATCHING and not ids:
            raise InvalidRequest("No job is selected: select some, or choose all that match.")
        asked = Asked.of({name: values[-1] for name, values in form.items()})
        return cls(action, asked, ids, forms.text(form, "note"), by)

    def steps(self, *, dry_run: bool) -> Steps[Progress]:
        """The calls."""
        where = None if self.ids else self.asked.where()
        return ACTIONS[self.action](self, where, dry_run)


def _pause(order: Order, where: Filter | None, dry_run: bool) -> Steps[Progress]:  # noqa: FBT001 - of a table
    return logic.pause(order.ids, where, order.note, order.by, dry_run=dry_run)


def _resume(order: Order, where: Filter | None, dry_run: bool) -> Steps[Progress]:  # noqa: FBT001
    return logic.resume(order.ids, where, dry_run=dry_run)


def _delete(order: Order, where: Filter | None, dry_run: bool) -> Steps[Progress]:  # noqa: FBT001
    return logic.delete(order.ids, where, dry_run=dry_run)


ACTIONS: Mapping[str, Callable[[Order, Filter | None, bool], Steps[Progress]]] = {
    "pause": _pause,
    "resume": _resume,
    "delete": _delete,
}
DONE: Mapping[str, str] = {"pause": "paused", "resume": "resumed", "delete": "deleted"}


async def ask(visit: Visit) -> Response:
    """How many jobs it concerns, and whether it is meant."""
    order = Order.of(await visit.form(), visit.guest.visitor.caller.name)
    steps = order.steps(dry_run=True)
    (_, changed), token = await visit.site.v1.run_bulk(visit.guest.visitor, steps)
    return visit.page("bulk.html", order=order, count=changed, more=bool(token))


async def do(visit: Visit) -> Response:
    """Do it, as far as it goes in some seconds; then ask again to go on."""
    form = await visit.form()
    order = Order.of(form, visit.guest.visitor.caller.name)
    if order.action == "delete" and not forms.text(form, "sure"):
        raise InvalidRequest("Tick the box if you want to delete these jobs.")
    before, token = forms.whole(form, "done"), forms.text(form, "after")
    steps = order.steps(dry_run=False)
    (_, changed), token = await visit.site.v1.run_bulk(visit.guest.visitor, steps, token)
    done = before + changed
    if token:
        return visit.page("bulk_going.html", order=order, done=done, after=token, words=DONE)
    jobs = "1 job was" if done == 1 else f"{number(done)} jobs were"
    return go_to(order.asked.address(said=f"{jobs} {DONE[order.action]}."))
