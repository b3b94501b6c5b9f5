"""One request for a page: its guest, its calls, and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from scheduling_client.api.logic import Steps
from scheduling_srv.app.access.callers import Role
from scheduling_srv.app.giving_way import GivingWay
from scheduling_srv.app.health.health import Health
from scheduling_srv.domain.errors import Forbidden
from scheduling_srv.entrances.web import forms
from scheduling_srv.entrances.web.fresh import Fresh
from scheduling_srv.entrances.web.guests import Guest, Guests
from scheduling_srv.entrances.web.payloads import Payloads
from scheduling_srv.entrances.web.rendering import environment
from scheduling_srv.entrances.web.service import V1
from scheduling_srv.entrances.web.streams import Places
from scheduling_srv.entrances.web.tails import Tails

Result = TypeVar("Result")

SEE_OTHER = 303
NEEDS_SIGN_IN = "Sign in first: only who has signed in may change jobs."
NO_SIGN_IN = "Changes need signing in, and it is not set up: set SCHEDULING_CALLERS."


@dataclass(frozen=True, slots=True)
class Site:
    """What all pages share."""

    v1: V1
    health: Health
    guests: Guests
    namespace: str = ""
    masks_payloads: bool = False
    payloads: Payloads = field(default_factory=Payloads)
    giving_way: GivingWay = field(default_factory=GivingWay)
    fresh: Fresh = field(default_factory=Fresh)
    pages: Fresh = field(default_factory=Fresh)
    """Whole pages: see `courtesy`."""
    places: Places = field(default_factory=Places)
    tails: Tails = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tails", Tails(self.v1))


@dataclass(frozen=True, slots=True)
class Visit:
    """A request whose guest is known."""

    site: Site
    request: Request
    guest: Guest

    async def run(self, steps: Steps[Result]) -> Result:
        """Make the calls of an operation for the guest. Raises `SchedulingError`."""
        return await self.site.v1.run(self.guest.visitor, steps)

    def query(self, name: str) -> str:
        """A parameter of the address, without spaces around; empty if it is not there."""
        return self.request.query_params.get(name, "").strip()

    def raw_query(self, name: str) -> str:
        """The same as it was sent: ids may begin with a space."""
        return self.request.query_params.get(name, "")

    @property
    def may_act(self) -> bool:
        """Whether to offer what changes jobs. Limited callers change those that they see."""
        return self.guest.signed_in and self.guest.visitor.caller.role >= Role.OPERATOR

    @property
    def may_pause_types(self) -> bool:
        """Whether to offer the pauses of types: they concern the jobs of all creators."""
        limits = self.guest.visitor.caller.limits
        return self.may_act and not (limits and limits.creators)

    @property
    def is_admin(self) -> bool:
        """Whether to offer the dead letters."""
        caller = self.guest.visitor.caller
        return self.guest.signed_in and caller.role >= Role.ADMIN and not caller.limits

    async def form(self) -> forms.Form:
        """The form that the guest has sent. Raises `Forbidden`, `TooLarge`, `InvalidRequest`."""
        if not self.guest.signed_in:
            raise Forbidden(NEEDS_SIGN_IN if self.site.guests.ways.any else NO_SIGN_IN)
        return await forms.read(self.request, self.guest)

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:  # noqa: ANN401 - for templates
        """The page of a template."""
        return HTMLResponse(self._rendered(template, values), status_code=status)

    def _rendered(self, template: str, values: Mapping[str, Any]) -> str:
        guest, ways = self.guest, self.site.guests.ways
        token = guest.sessions.form_token(guest.bound_to) if guest.signed_in else ""
        return (
            environment()
            .get_template(template)
            .render(
                path=self.request.url.path,
                namespace=self.site.namespace,
                caller=guest.visitor.caller if guest.signed_in else None,
                may_read=guest.may_read,
                may_act=self.may_act,
                may_pause_types=self.may_pause_types,
                is_admin=self.is_admin,
                limits=guest.visitor.caller.limits,
                can_sign_in=ways.any,
                gives_way=self.site.giving_way.is_due,
                form_token=token,
                now=datetime.now(UTC),
                said=self.query("said")[:_LONGEST_SAID],
                **values,
            )
        )


_LONGEST_SAID = 300


def go_to(address: str) -> Response:
    """After an action: the browser then asks for this address of ours."""
    return RedirectResponse(address, status_code=SEE_OTHER)
