"""The pages without a browser: requests to the application, and a cookie jar."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

from scheduling_client.schedules.preview import Preview, PreviewTime
from scheduling_srv.app.access.accounts import Account, Proven
from scheduling_srv.app.access.audit_log import AuditLog
from scheduling_srv.app.access.callers import Caller, Role
from scheduling_srv.app.giving_way import GivingWay
from scheduling_srv.app.health.health import Health
from scheduling_srv.app.requests.explaining import Explanation
from scheduling_srv.app.watching.watcher import Watcher
from scheduling_srv.domain.bulk import BulkCall, Progress
from scheduling_srv.domain.dead_letter import (
    DeadLetter,
    LetterCall,
    LetterFilter,
    LetterId,
    LetterPage,
)
from scheduling_srv.domain.definition import Definition
from scheduling_srv.domain.errors import SchedulingError, Unauthenticated
from scheduling_srv.domain.event import Event, EventFilter
from scheduling_srv.domain.explanation.reasons import Explained, Verdict
from scheduling_srv.domain.finding import Finding, Severity
from scheduling_srv.domain.job_filter import JobFilter
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.overview import Counts, Overview
from scheduling_srv.domain.run import (
    FailureGroup,
    RetryProgress,
    RunBulkCall,
    RunFilter,
    RunPage,
    UpcomingRuns,
)
from scheduling_srv.domain.run_control import RunCall, Started
from scheduling_srv.domain.system import Setting, System, TopicUse
from scheduling_srv.entrances.grpc_dead_letters import dead_letter_methods
from scheduling_srv.entrances.grpc_reading import ReadingPorts, reading_methods
from scheduling_srv.entrances.grpc_system import system_methods
from scheduling_srv.entrances.grpc_v1 import built_methods, together
from scheduling_srv.entrances.memory_budget import Limits as RequestLimits
from scheduling_srv.entrances.web.application import application
from scheduling_srv.entrances.web.guests import Guests, Ways
from scheduling_srv.entrances.web.service import V1
from scheduling_srv.entrances.web.visit import Site
from scheduling_srv.formats.positions import Place
from scheduling_srv.formats.v1.dead_letters import DEAD_LETTER_SERVICE
from scheduling_srv.formats.v1.system import SYSTEM_SERVICE
from tests.unit.test_grpc_v1 import App

FORM = "application/x-www-form-urlencoded"


class Uses(App):
    """The use cases, with times that pages can read."""

    more = ""
    """The token that bulk calls return."""
    is_well = True

    async def probe(self) -> bool:
        return self.is_well

    async def pause(self, call: BulkCall, note: str, by: str) -> Progress:
        return (await super().pause(call, note, by))._replace(token=self.more)

    async def run(self, call: RunCall) -> Started:
        started = await super().run(call)
        return started._replace(progress=started.progress._replace(token=self.more))

    async def cancel(self, call: RunBulkCall) -> Progress:
        return (await super().cancel(call))._replace(token=self.more)

    async def preview(self, subject: Definition | str, count: int, after: int | None) -> Preview:
        self.note(subject, count, after)
        return Preview("words", "UTC", [PreviewTime(1500, "1970-01-01T00:00:01.500+00:00")])


class Reads:
    """The use cases that read runs: there are none."""

    def __init__(self) -> None:
        self.called: list[Any] = []
        self.explained: list[tuple[str, int | None]] = []
        self.more = ""
        """The token that bulk calls return."""

    async def list(self, wanted: RunFilter, limit: int, token: str = "") -> RunPage:
        return RunPage([], "")

    async def failures(self, job_type: str, limit: int) -> Sequence[FailureGroup]:
        return []

    async def retry(self, call: RunBulkCall) -> RetryProgress:
        self.called.append(call)
        return RetryProgress(2, 1, self.more, [])

    async def upcoming(self, wanted: JobFilter, until: int, limit: int) -> UpcomingRuns:
        return UpcomingRuns([], more=False)

    async def overview(self) -> Overview:
        return Overview(Counts(jobs=9), [], [0] * 60, [], serving=True, reasons=[], lag=0)

    async def explain(self, job_id: str, at: int | None) -> Explanation:
        self.explained.append((job_id, at))
        return Explanation(Explained(Verdict.UNKNOWN, []), ["Nothing is known."])


ATTACK = "<script>alert(1)</script>"


class Operated:
    """The use cases of the system and of dead letters: their texts are attacks."""

    def __init__(self) -> None:
        self.called: list[LetterCall] = []
        self.more = ""
        """The token that bulk calls return."""

    def system(self) -> System:
        settings = [
            Setting("SCHEDULING_NAMESPACE", ATTACK, "environment", secret=False),
            Setting("SCHEDULING_REDIS_PASSWORD", "", "/etc/<b>", secret=True),
        ]
        return System("1", "3", "2026", "test", settings, [TopicUse("jobs", ATTACK, 0)], 1)

    async def diagnose(self) -> Sequence[Finding]:
        return [Finding("redis.persistence", Severity.WARNING, ATTACK, "Mend it.")]

    async def list(self, wanted: LetterFilter, limit: int, token: str) -> LetterPage:
        return LetterPage([LETTER], "")

    async def get(self, letter_id: LetterId) -> DeadLetter:
        return LETTER

    async def replay(self, call: LetterCall) -> Progress:
        self.called.append(call)
        return Progress(1, 1, self.more)

    hide = replay


LETTER = DeadLetter(
    id=LetterId(0, 42),
    time=1500,
    topic="jobs",
    partition=0,
    offset=7,
    event=b"jobDone",
    reason="INVALID_ARGUMENT",
    message=ATTACK,
    size=len(ATTACK),
    value=ATTACK.encode(),
    headers={"x": ATTACK},
)


class Told:
    """Implements `EventsPort`: each watcher gets these events, and then no more."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.wanted: list[EventFilter] = []
        self.glances: list[bool] = []
        self.fault: SchedulingError | None = None

    @asynccontextmanager
    async def watcher(
        self, wanted: EventFilter, cursor: str, source: str, *, glances: bool = False
    ) -> AsyncGenerator[Watcher]:
        if self.fault:
            raise self.fault
        self.wanted.append(wanted)
        self.glances.append(glances)
        watcher = Watcher(wanted, {}, glances=glances)
        for number, event in enumerate(self.events):
            watcher.note(Place("jobs", 0), number, event)
        yield watcher

    def cursor(self, offsets: Mapping[Place, int]) -> str:
        return ""


class Key:
    """Of the sessions."""

    def __init__(self) -> None:
        self.key = bytes(32)

    async def read(self) -> bytes:
        return self.key


class People:
    """Implements `Accounts` and the credentials of the door: a token is the name of its caller."""

    def __init__(self, *callers: Caller) -> None:
        self.known = {
            each.name: Account(each, frozenset({f"hash of {each.name}"})) for each in callers
        }

    async def prove(self, token: str) -> Proven:
        if token not in self.known:
            raise Unauthenticated("The token is not known.")
        return Proven(self.known[token].caller, float("inf"), f"hash of {token}")

    async def prove_password(self, name: str, password: str) -> Proven:
        if password != "right":
            raise Unauthenticated("The name or the password is wrong.")
        return await self.prove(name)

    def account(self, name: str) -> Account | None:
        return self.known.get(name)


PEOPLE = [
    Caller("anna", Role.OPERATOR),
    Caller("rita", Role.READER),
    Caller("root", Role.ADMIN),
    Caller("tim", Role.READER, Limits(types=frozenset({"t"}))),
    Caller("tom", Role.OPERATOR, Limits(types=frozenset({"t", "v"}), creators=frozenset({"c"}))),
]


class Answer(NamedTuple):
    """Of a request."""

    status: int
    headers: Mapping[str, str]
    text: str


class Guest:
    """A visitor with a cookie jar."""

    def __init__(
        self, ways: Ways, *, peer: str = "127.0.0.1", masks_payloads: bool = False
    ) -> None:
        self.app = Uses()
        self.lines: list[Mapping[str, object]] = []
        health = Health(redis=self.app.probe, kafka=self.app.probe, observe=self.app.observe)
        self.reads = Reads()
        reading = reading_methods(ReadingPorts(*[self.reads] * 5))
        methods = built_methods(self.app, self.app, self.app, RequestLimits(100, 100_000))
        self.operated, self.told = Operated(), Told()
        others = {
            SYSTEM_SERVICE: system_methods(self.operated),
            DEAD_LETTER_SERVICE: dead_letter_methods(self.operated),
        }
        audit = AuditLog(self.lines.append)
        v1 = V1(together(methods, reading, others), events=self.told, audit=audit)
        self.guests = Guests(ways)
        self.is_behind = False
        self.site = Site(
            v1,
            health,
            self.guests,
            "test",
            masks_payloads,
            giving_way=GivingWay(lambda: self.is_behind),
        )
        self._application = application(self.site)
        self.peer = peer
        self.cookies: dict[str, str] = {}
        self.stays = 1
        """Messages of a stream after which the guest leaves."""

    async def get(self, path: str, **headers: str) -> Answer:
        return await self._ask("GET", path, headers, b"")

    async def post(
        self, path: str, fields: Mapping[str, str | Sequence[str]], **headers: str
    ) -> Answer:
        body = urlencode(fields, doseq=True).encode()
        return await self._ask("POST", path, {"content_type": FORM, **headers}, body)

    async def sign_in(self, token: str) -> Answer:
        return await self.post("/sign-in", {"token": token})

    async def form_token(self) -> str:
        """Of the forms of this session."""
        session = (await self.guests.sessions()).read(self.cookies["scheduling-session"])
        assert session is not None
        return (await self.guests.sessions()).form_token(session.id)

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        plain, _, query = path.partition("?")
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        own = {name.replace("_", "-"): text for name, text in headers.items()}
        given = {"host": "localhost:8080", "cookie": cookie, **own}
        scope = {
            "type": "http",
            "method": method,
            "path": plain,
            "raw_path": plain.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), text.encode()) for name, text in given.items()],
            "scheme": "http",
            "server": ("127.0.0.1", 8080),
            "client": (self.peer, 50_000),
            "http_version": "1.1",
        }
        sent: list[Any] = []

        bodies = [{"type": "http.request", "body": body, "more_body": False}]

        left = asyncio.Event()

        async def receive() -> Any:
            """The body; later, that the guest has left."""
            if bodies:
                return bodies.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if message.get("more_body") and len(sent) > self.stays:
                left.set()

        await self._application(scope, receive, send)
        found = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        if "set-cookie" in found:
            name, _, rest = found["set-cookie"].partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return Answer(
            sent[0]["status"], found, b"".join(each.get("body", b"") for each in sent[1:]).decode()
        )
