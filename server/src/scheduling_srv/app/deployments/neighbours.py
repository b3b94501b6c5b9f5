"""Other services on the same Kafka: is it safe to fence, to consume, to emit? (decision 19)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from functools import partial
from typing import NamedTuple, Protocol

import structlog

from scheduling_srv.app.deployments.deployment import (
    OLDER,
    Deployment,
    Identity,
    Member,
    first_instance,
    random_id,
)
from scheduling_srv.app.ports import Clock
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import LogUnavailable, StartError, Unavailable
from scheduling_srv.formats.kafka_records import DEPLOYMENT, QUEUED_KEY, LogRecord

log = structlog.get_logger(__name__)

LEAST_PATIENCE_SECONDS = 10.0
"""How long a conflicting member may take to leave, or to connect to our Redis."""
SESSION_ROOM_SECONDS = 4.0
"""The same beyond the session timeout, after which Kafka drops a dead member."""
OLD_SESSION_SECONDS = 45.0
"""The longest session timeout that a dead replica of ours is likely to have had."""
RIVAL_LOOK_SECONDS = 1.0
"""Seconds in which Kafka has to name the services before a fenced owner fences in turn."""
FRESH_SECONDS = 1.0
"""How long a look is believed: the shards of a replica recover at the same time."""
CONFLICT_LOOK_SECONDS = 0.5
"""Seconds between looks at a conflict."""
LOOK_SECONDS = 3.0
"""Seconds between looks for a service that shares the jobs topic."""
UNSTABLE_LOOK_SECONDS = 0.5
"""The same while a group that may read it is not stable."""
STARTING_SECONDS = 60.0
"""Seconds that a start takes at most. Later the process waits and does not end (decision 7)."""
QUIET_SECONDS = 60.0
"""The jobs topic is ours again after so long without a living member of the other deployment."""


WAITS_FOR_CONFLICT = "waiting for a service that is dead, or is not a replica of this one"
RIVAL_GIVES_WAY = "a service that is not a replica of this one has to give way"
WAITS_FOR_TOPIC = "waiting for another service to leave"
TOPIC_IS_SHARED = "another service uses the jobs topic"
"""Event of the log line."""

Ask = Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]
"""Puts a question until the servers answer it."""


class Groups(Protocol):
    """The consumer groups on Kafka."""

    async def members(self) -> Sequence[Member] | None:
        """Living services in all groups; None: it may not be asked.

        Raises `LogUnavailable` when Kafka does not answer.
        """


class Home(Protocol):
    """Redis. Raises `Unavailable`."""

    async def read(self) -> Identity | None:
        """The identity of this deployment, if Redis has it."""

    async def note(self, identity: Identity) -> Identity:
        """Store it unless there is one; returns the one that is stored then."""

    async def replace(self, identity: Identity) -> None:
        """Store it in any case."""

    async def is_here(self, name: str) -> bool:
        """Whether this replica is connected to our Redis."""


class Rules(NamedTuple):
    """The settings that rule this."""

    namespace: str
    group: str
    topic: str
    """Name of the jobs topic."""
    commands: str
    """The topic of commands."""
    session_seconds: float
    """After so long Kafka drops a dead member of the group."""
    shared: bool = False
    """SCHEDULING_SHARED_TOPIC"""

    @property
    def consumed(self) -> frozenset[str]:
        """Topics whose events this service applies."""
        return frozenset((self.topic, self.commands))


class Alone:
    """A service that no other one can disturb: its Kafka and its Redis are embedded."""

    watches = False
    """Whether consumed runs are to be looked into: the topic may be used by another service."""

    def __init__(self, deployment: Deployment | None = None, home: Home | None = None) -> None:
        self.deployment = deployment or Deployment()
        self.home = home
        self.waits_for = ""
        """Why the service does not begin; empty: it may."""
        self.blocked = ""
        """Why nothing may be consumed; empty: it may."""

    @property
    def in_conflict(self) -> bool:
        """Whether the last look has found a service that must not be fenced."""
        return False

    @property
    def first_instance(self) -> int:
        """The first instance id of a new deployment."""
        return first_instance(self.deployment.id)

    async def introduce(self, ask_kafka: Callable[[], Awaitable[str]]) -> None:
        """Find out which deployment this is, or make it. Raises `Unavailable`."""
        if self.home is None:
            return
        known = await self.home.read()
        if known is None:
            known = Identity(await ask_kafka() or random_id(), random_id())
            known = await self.home.note(known)
        self.deployment.be(known)

    async def note(self) -> None:
        """Put the identity into a Redis that has lost it. Raises `Unavailable`."""
        if self.home is not None:
            stored = await self.home.note(Identity(self.deployment.id, random_id()))
            self.deployment.be(stored)

    async def check(self) -> None:
        """Return when nothing speaks against fencing. Raises `StartError` and `Unavailable`."""

    async def after_fencing(self) -> None:
        """As `check`, in an owner that was fenced while it held its lease, or is in conflict."""

    async def before_rebuild(self, written_by: str) -> None:
        """As `check`, before a rebuild from a position that `written_by` wrote."""
        del written_by
        await self.note()

    def is_foreign(self, header: bytes | None, stamp: int) -> bool:
        """Whether a queuedJob of this instant, in epoch ms, shows that the topic is shared."""
        del header, stamp
        return False

    def saw(self, header: bytes) -> None:
        """Note that such a queuedJob was consumed; this class meets none."""


class Neighbours(Alone):
    """Compares this replica with the members of the consumer groups."""

    def __init__(
        self,
        *,
        deployment: Deployment,
        home: Home,
        groups: Groups,
        rules: Rules,
        clock: Clock,
        runs_since: Callable[[int], AsyncGenerator[Sequence[LogRecord]]],
        is_continued_here: Callable[[], Awaitable[bool]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`runs_since` reads the jobs topic from an instant on, as `History.jobs_since`.

        `is_continued_here`: whether our Redis holds the schedule that the first shard's last
        position names. It raises `Unavailable`.
        """
        super().__init__(deployment, home)
        self.home: Home = home
        self.runs_since = runs_since
        self.is_continued_here = is_continued_here
        self.groups = groups
        self.rules = rules
        self.watches = not rules.shared
        self.clock = clock
        self.monotonic = monotonic
        self.strangers: dict[str, float] = {}
        """Other deployments on the jobs topic, and when they were last known to live."""
        self.began_at = monotonic()
        self.since = clock.now()
        """Records before this instant, in epoch ms, block nothing."""
        self._said = self._reason = ""
        self._siblings = {deployment.name}
        """Names of replicas that are ours. Each start of one has another name."""
        self._checked_at = float("-inf")
        self._seen: Sequence[Member] = ()
        self._found: Member | None = None
        """All of them, and one that conflicts, by the last look."""
        self._called = asyncio.Event()
        self._checking = asyncio.Lock()

    @property
    def in_conflict(self) -> bool:
        """See `Alone`."""
        return self._found is not None

    @property
    def patience(self) -> float:
        """Seconds after which a conflict is no dead member any more."""
        return max(LEAST_PATIENCE_SECONDS, self.rules.session_seconds + SESSION_ROOM_SECONDS)

    def _patience_for(self, member: Member) -> float:
        """A dead replica of ours has the timeout of its own configuration, perhaps a longer one.

        It leaves in a rebalance: until that has ended it is no living one.
        """
        if member.tag.deployment not in self.deployment.ids:
            return self.patience
        if not member.stable:
            return float("inf")
        return max(self.patience, OLD_SESSION_SECONDS + SESSION_ROOM_SECONDS)

    # --- Before anything fences -----------------------------------------------------------------

    async def check(self, ask: Ask | None = None) -> None:
        """See `Alone`. With `ask` it raises nothing but `StartError`."""
        async with self._checking:
            await self._until_no_conflict(ask)

    async def after_fencing(self) -> None:
        """See `Alone`. Kafka that does not answer soon delays nothing: most are no rivals."""
        async with self._checking:
            if self.monotonic() - self._checked_at < FRESH_SECONDS:
                return
            with suppress(LogUnavailable, TimeoutError):
                async with asyncio.timeout(RIVAL_LOOK_SECONDS):
                    await self._look("")
                    if not self._found:
                        self._checked_at = self.monotonic()
            if self._found:
                await self._until_no_conflict()

    async def before_rebuild(self, written_by: str) -> None:
        """See `Alone`. The id of the position wins: its history is the one that is rebuilt."""
        await self.note()
        writer = "" if written_by in self.deployment.ids else written_by
        async with self._checking:
            await self._until_no_conflict(writer=writer)
        if writer:
            log.warning("taking over the schedule of another deployment", deployment=writer)
            identity = Identity(writer, self.deployment.fingerprint)
            await self.home.replace(identity)
            self.deployment.be(identity)

    async def _until_no_conflict(self, ask: Ask | None = None, *, writer: str = "") -> None:
        """Raises `StartError`, or `LogUnavailable` if the process has started long ago.

        `writer` is another deployment that wrote the position: no member of it may live, and one
        may be about to join.
        """
        began, said = self.monotonic(), False
        if began - self._checked_at < FRESH_SECONDS and not writer:
            return
        has_started = began - self.began_at > STARTING_SECONDS
        while True:
            look = partial(self._look, writer)
            await (ask(look) if ask else look())
            found = self._found
            if found and not said and await self._is_first():
                log.warning(RIVAL_GIVES_WAY, member=found.place)
                return
            # One that has started tells its reason, and is called again.
            patience = self._patience_for(found) if found and not has_started else self.patience
            late = self.monotonic() - began >= patience
            if found and late:
                if not has_started:
                    raise StartError(self._refusal(found))
                if not ask:
                    raise LogUnavailable(self._refusal(found))
                self._tell(self._refusal(found))
            if not found and (late or not writer):
                self._checked_at = self.monotonic()
                return
            if not said:
                said = True
                log.warning(
                    WAITS_FOR_CONFLICT,
                    member=found.place if found else "",
                    seconds=patience,
                )
            await asyncio.sleep(CONFLICT_LOOK_SECONDS)

    async def _is_first(self) -> bool:
        """Whether the other service has to give way: it sees us, and Kafka names our schedule."""
        seen = any(member.tag.name == self.deployment.name for member in self._seen)
        return seen and await self.is_continued_here()

    async def _look(self, writer: str) -> None:
        """Raises `Unavailable`: then there is no answer."""
        with self._unanswered_is_alive():
            members = await self.groups.members()
            if members is None and self._found:
                raise LogUnavailable("Kafka does not say any more which services are alive.")
            self._seen = members or ()
            self._found = await self._conflict(self._seen, writer)

    @contextmanager
    def _unanswered_is_alive(self) -> Iterator[None]:
        """A look without an answer is no sign that a stranger has gone."""
        try:
            yield
        except Unavailable:
            self.strangers = dict.fromkeys(self.strangers, self.monotonic())
            raise

    async def _conflict(self, members: Sequence[Member], writer: str) -> Member | None:
        ours = self.rules.consumed
        for member in members:
            stranger = member.tag.deployment not in self.deployment.ids
            overlaps = not ours.isdisjoint(member.topics) or not member.stable
            if member.tag == OLDER and (overlaps or not member.topics):
                return member  # one of another service has partitions of other topics
            in_our_group = stranger and overlaps and member.group == self.rules.group
            # The writer fences us even if it reads nothing: we may have all partitions of its
            # group.
            wrote = bool(writer) and member.tag.deployment == writer
            fences = wrote or self.deployment.has_another_redis(member)
            if (in_our_group or fences) and not await self._is_ours(member):
                return member
        return None

    def _refusal(self, member: Member) -> str:
        rules, who = self.rules, f"on {member.place}, consumer group {member.group},"
        if member.tag == OLDER:
            return (
                f"A replica {who} has an older version, which cannot read the data that this"
                " version stores. Stop all replicas of the older version."
            )
        if member.tag.deployment in self.deployment.ids:
            return (
                f"A service {who} has the namespace {rules.namespace} and another Redis: each would"
                " fence the other and emit its jobs. Set another SCHEDULING_NAMESPACE for one of"
                " them, or the same SCHEDULING_REDIS_URL for both."
            )
        both = " and ".join(sorted(rules.consumed & member.topics))
        if member.stable and not both:
            return (
                f"A service {who} is another deployment ({member.tag.deployment}) and writes our"
                " position as well: each would fence the other. Set another SCHEDULING_NAMESPACE"
                " for one of them, or the same SCHEDULING_REDIS_URL for both."
            )
        shares = f"reads {both} as well" if both else "may read our topics, as Kafka does not say"
        return (
            f"A service {who} is another deployment ({member.tag.deployment}) and {shares}: each"
            " would take the partitions of the other. Set another SCHEDULING_NAMESPACE or"
            " SCHEDULING_KAFKA_GROUP_ID for one of them, or the same SCHEDULING_REDIS_URL and"
            " SCHEDULING_NAMESPACE for both."
        )

    # --- The jobs topic -------------------------------------------------------------------------

    async def until_alone(self, ask: Ask) -> None:
        """Return when no other deployment uses the jobs topic. Raises `StartError`.

        One that has gone may be about to start again: its topic stays its own for a while. `ask`
        ends between the looks, so that no server is blamed for the wait.
        """
        await self.check(ask)
        while not self.rules.shared:
            await ask(self._note_readers)
            if not self._reason:
                break
            self._tell(self._reason)
            await asyncio.sleep(LOOK_SECONDS if self.strangers else UNSTABLE_LOOK_SECONDS)
            self._checked_at = float("-inf")
            await self.check(ask)
        if self.waits_for:
            self.waits_for = ""
            self.since = self.clock.now()
            log.info("the jobs topic is free: starting")

    def _tell(self, reason: str) -> None:
        if reason != self.waits_for:
            self.waits_for = reason
            log.warning(WAITS_FOR_TOPIC, reason=reason)

    async def _note_readers(self) -> None:
        """Find out whom to wait for, by the last look. Raises `Unavailable`."""
        now = self.monotonic()
        with self._unanswered_is_alive():
            others = [
                member
                for member in self._seen
                if member.tag.deployment not in self.deployment.ids
                and not await self._is_ours(member)
            ]
        readers = [each for each in others if not self.rules.consumed.isdisjoint(each.topics)]
        known = self.strangers.keys() | {member.tag.deployment for member in readers}
        living = {member.tag.deployment for member in others}
        self.strangers |= dict.fromkeys(known & living, now)
        self.strangers = {
            deployment: seen
            for deployment, seen in self.strangers.items()
            if now - seen < QUIET_SECONDS
        }
        unstable = [member for member in others if not member.stable]
        if readers:
            self._reason = self._sharing(readers)
        elif self.strangers:
            self._reason = self._may_return(min(self.strangers))
        else:
            self._reason = _unstable(unstable[0]) if unstable else ""

    def _may_return(self, deployment: str) -> str:
        return (
            f"The service with the deployment {deployment} used the topic {self.rules.topic} and"
            f" may start again. This one starts after {QUIET_SECONDS:.0f} s without it."
        )

    def _sharing(self, members: Sequence[Member], deployment: str = "") -> str:
        topic = self.rules.topic
        if members:
            member = members[0]
            topic = " and ".join(sorted(self.rules.consumed & member.topics)) or topic
            who = (
                f"on {member.place}, consumer group {member.group}, deployment"
                f" {member.tag.deployment},"
            )
        else:
            who = f"with the deployment {deployment}"
        return (
            f"Another service {who} uses the topic {topic}: each event would be applied twice."
            " Nothing is consumed. Set another SCHEDULING_TOPIC_JOBS, _RESOURCES, _COMMANDS and"
            " _DEAD_LETTER for one of them, or SCHEDULING_SHARED_TOPIC=true for both."
        )

    def is_foreign(self, header: bytes | None, stamp: int) -> bool:
        """See `Alone`."""
        return stamp >= self.since and self.deployment.is_foreign(header)

    def saw(self, header: bytes) -> None:
        """See `Alone`. Nothing is consumed from here on; `run` finds out more."""
        deployment = header.decode(errors="replace")
        if deployment not in self.strangers:
            self.strangers[deployment] = self.monotonic()
            self.blocked = self.blocked or self._sharing((), deployment)
            self._called.set()

    async def run(self) -> None:
        """Watch the strangers until cancelled."""
        while True:
            await wait(self._called, LOOK_SECONDS if self.strangers else None)
            self._called.clear()
            try:
                await self.run_once()
            except Unavailable as fault:
                log.debug("not looked for other services", reason=str(fault))

    async def run_once(self) -> None:
        """Look whether the strangers live. Raises `Unavailable`."""
        if not self.strangers:
            return
        with self._unanswered_is_alive():
            if known := await self.home.read():
                self.deployment.be(known)  # another replica may have taken over its schedule
            members = await self.groups.members()
            living = [m for m in members or () if m.tag.deployment in self.strangers]
            for member in living:
                if await self._is_ours(member):
                    self.deployment.ids.add(member.tag.deployment)
            asked_at = self.clock.now()
            await self._forget_those_gone(living, asked_at)
        self._conclude([m for m in living if m.tag.deployment in self.strangers], asked_at)

    async def _forget_those_gone(self, living: Sequence[Member], asked_at: int) -> None:
        """A stranger has gone if, for long, it was no member and emitted no run."""
        now = self.monotonic()
        self.strangers |= dict.fromkeys((member.tag.deployment for member in living), now)
        for deployment in self.deployment.ids & self.strangers.keys():
            del self.strangers[deployment]
        quiet = {d for d, seen in self.strangers.items() if now - seen >= QUIET_SECONDS}
        if not quiet:
            return
        # Where groups may not be described, only this tells. It is read once in that time.
        if emits := await self._emits_since(asked_at - round(QUIET_SECONDS * 1000)):
            self.strangers |= dict.fromkeys({emits, *quiet}, now)
        else:
            self.strangers = {d: s for d, s in self.strangers.items() if d not in quiet}

    async def _emits_since(self, instant: int) -> str:
        """A deployment whose run has this time stamp or a later one; empty: there is none."""
        async with aclosing(self.runs_since(instant)) as pieces:
            async for piece in pieces:
                for record in piece:
                    header = record.headers.get(DEPLOYMENT)
                    if (
                        header is not None
                        and record.key == QUEUED_KEY
                        and record.timestamp >= instant
                        and self.deployment.is_foreign(header)
                    ):
                        return header.decode(errors="replace")
        return ""

    def _conclude(self, living: Sequence[Member], asked_at: int) -> None:
        if not self.strangers:
            self.since = asked_at  # the record that has blocked us is read again
            self.blocked = self._said = ""
            log.info("the jobs topic is ours again: consuming goes on")
            return
        reason = self._sharing(living, min(self.strangers))
        if living or not self._said:
            self.blocked = reason
        if not self._said:
            self._said = reason
            log.warning(TOPIC_IS_SHARED, reason=reason)

    async def _is_ours(self, member: Member) -> bool:
        """A replica that was seen in our Redis stays one of ours: it may have died since."""
        name = member.tag.name
        if name not in self._siblings and await self.home.is_here(name):
            self._siblings.add(name)
        return name in self._siblings


def _unstable(member: Member) -> str:
    return (
        f"The consumer group {member.group} is not stable: Kafka does not say yet whether the"
        f" service on {member.place} uses our jobs topic."
    )
