"""The admin pages of a replica, put together from the settings (docs/decisions/0034)."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.pages_key import PagesKey
from scheduling_srv.adapters.redis.signed_out import RedisSignedOut
from scheduling_srv.app.giving_way import GivingWay
from scheduling_srv.app.health.health import Health
from scheduling_srv.app.watching.hub import Hub
from scheduling_srv.domain.errors import StartError
from scheduling_srv.entrances.addresses import check_loopback, with_port
from scheduling_srv.entrances.admin import OFF, Lazy
from scheduling_srv.entrances.admin import SETTING as ADMIN_SETTING
from scheduling_srv.entrances.grpc_v1 import Services
from scheduling_srv.service.doors import Doors
from scheduling_srv.settings.model import Settings

if TYPE_CHECKING:  # the first page imports them
    from starlette.types import ASGIApp

    from scheduling_srv.entrances.web.link import Link


class Pages:
    """Makes the application at its first request."""

    def __init__(
        self,
        settings: Settings,
        doors: Doors,
        health: Health,
        redis: RedisClient,
        methods: Services,
        *,
        events: Hub,
        giving_way: GivingWay,
    ) -> None:
        self._settings = settings
        self._doors = doors
        self._health = health
        self._redis = redis
        self._methods = methods
        self._events = events
        self._giving_way = giving_way
        self._link: Link | None = None
        self.base = ""
        """Such as `http://127.0.0.1:8080`; empty: there are no pages."""
        self.application = Lazy(self._make)

    def listen(self, port: int | None) -> None:
        """The pages have this port, or none. Raises `StartError` for the file of the link."""
        address = self._address
        if port is None or address == OFF:
            return
        scheme = "https" if self._doors.certificates else "http"
        self.base = f"{scheme}://{with_port(address, port)}"
        if path := self._settings.pages_link:
            from scheduling_srv.entrances.web.link import Link  # noqa: PLC0415 - few have one

            self._link = Link(path, self.base)
        if path := self._settings.pages_descriptors:
            from scheduling_srv.entrances.web.payloads import Payloads  # noqa: PLC0415 - few have

            Payloads.of_file(path)  # a fault ends the start, not the first page

    @property
    def _address(self) -> str:
        return self._settings.pages_address or self._settings.admin_address

    def _make(self) -> ASGIApp:
        from scheduling_srv.entrances.web.application import application  # noqa: PLC0415
        from scheduling_srv.entrances.web.guests import Guests, Ways  # noqa: PLC0415
        from scheduling_srv.entrances.web.payloads import Payloads  # noqa: PLC0415
        from scheduling_srv.entrances.web.service import V1  # noqa: PLC0415
        from scheduling_srv.entrances.web.visit import Site  # noqa: PLC0415

        settings, doors = self._settings, self._doors
        ways = Ways(
            PagesKey(self._redis, settings.namespace),
            signed_out=RedisSignedOut(self._redis, settings.namespace),
            door=doors.door,
            accounts=doors.credentials,
            link=self._link,
            header=settings.pages_user_header,
            proxies=[ip_network(each) for each in settings.pages_proxies],
            open_to_read=doors.door is None and self._is_loopback(),
            cookie=f"scheduling-{settings.namespace}",
        )
        site = Site(
            V1(self._methods, events=self._events, quotas=doors.quotas, audit=doors.audit),
            self._health,
            Guests(ways),
            settings.namespace,
            settings.pages_mask_payloads,
            Payloads.of_file(settings.pages_descriptors),
            self._giving_way,
        )
        return application(site)

    def _is_loopback(self) -> bool:
        try:
            check_loopback(self._address, ADMIN_SETTING)
        except StartError:
            return False
        return True
