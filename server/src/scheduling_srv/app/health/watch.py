"""Watches the settings of the servers, and creates missing topics (docs/decisions/0013).

It asks the brokers every few seconds which topics exist. It asks for all settings at the start,
after each reconnect and once a minute. It keeps the findings: limits for jobs that are accepted,
risks for health and metrics. It asks in its own threads, so that it delays no other part.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, TypeVar

import structlog

from scheduling_srv.app.health.guarantees import (
    JOB_TOPICS,
    NEEDED,
    KafkaFacts,
    Note,
    RedisFacts,
    Risk,
    TopicFacts,
    Wanted,
    absence,
    largest,
    missing,
    notes_of,
    risks_of,
    smallest_of,
)
from scheduling_srv.app.waiting import wait
from scheduling_srv.domain.errors import SchedulingError, Unavailable
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.runtime import metrics
from scheduling_srv.runtime.states import State

log = structlog.get_logger(__name__)

LOOK_SECONDS = 60.0
"""Seconds between looks at all settings."""
GLANCE_SECONDS = 5.0
"""Seconds between looks at which topics exist."""
FIRST_SECONDS = 2.0
"""How long a start waits for the first look."""
CREATE_AFTER_SECONDS = 10.0
"""How long an operator has to create a missing topic before this service does."""
NEEDED_AFTER_SECONDS = 3.0
"""The same while a record waits for the topic."""
GIVE_UP_SECONDS = 4.0
"""How long a record waits for a topic that is missing: its partition waits as well."""
FRESH_SECONDS = 1.0
"""How long a finding about a topic is trusted when a record is about to be written to it."""
POLL_SECONDS = 0.5
"""Seconds between looks while a record waits for its topic."""

Result = TypeVar("Result")


class TopicAdmin(Protocol):
    """The brokers. All methods raise `LogUnavailable`."""

    async def look(self) -> KafkaFacts:
        """All that the brokers tell."""

    async def identities(self) -> Mapping[Topic, TopicFacts | None]:
        """Which topics exist, and their ids; those that may not be described are left out."""

    async def create(self, topics: Iterable[Topic]) -> None:
        """Create these topics, unless they exist by now."""


class StorePolicy(Protocol):
    """Redis."""

    async def look(self) -> RedisFacts:
        """Raises `StoreUnavailable`."""


class Conditions(NamedTuple):
    """Findings for operators beside the status."""

    reasons: Sequence[str] = ()
    """Why this service is not serving; empty: it may be."""
    degraded: Sequence[str] = ()
    """Parts that do not work although runs are emitted."""
    at_risk: Mapping[str, str] = {}
    """Guarantees that do not hold: reason -> sentence."""
    notes: Mapping[str, str] = {}
    unknown: Sequence[str] = ()
    """Settings that the service may not read."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the topics, in bytes of a batch of records; None: not known."""

    job: int | None = None
    """The smallest limit of the topics that whole jobs are written to."""
    job_topic: str = ""
    """The topic with that limit."""
    dead_letter: int | None = None
    batch: int | None = None
    """The smallest limit of all topics."""


@dataclass(slots=True)
class _Absences:
    """Topics that are missing, and since when (monotonic seconds)."""

    since: dict[Topic, float] = field(default_factory=dict)

    def note(self, absent: frozenset[Topic], now: float) -> None:
        self.since = {topic: self.since.get(topic, now) for topic in absent}

    def longer_than(self, seconds: float, now: float) -> list[Topic]:
        return sorted(topic for topic, since in self.since.items() if now - since >= seconds)


class ServerWatch:
    """One for a replica."""

    def __init__(
        self,
        kafka: TopicAdmin,
        redis: StorePolicy,
        wanted: Wanted,
        *,
        require_guarantees: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kafka_admin = kafka
        self.redis_policy = redis
        self.wanted = wanted
        self.require_guarantees = require_guarantees
        self.monotonic = monotonic
        self.kafka = KafkaFacts()
        self.redis = RedisFacts()
        self.limits = Limits()
        self.on_limits: list[Callable[[Limits], None]] = []
        """Called with new limits whenever they change."""
        self.on_identity: list[Callable[[], None]] = []
        """Called when a topic is gone, is back, or is another one than before."""
        self._told: dict[tuple[str, int], str] = {}
        """Risks that shards have told of."""
        self._risks: dict[str, str] = {}
        self._said: frozenset[str] = frozenset()
        self._absences = _Absences()
        self._called = asyncio.Event()
        self._glance = asyncio.Lock()
        self._looked_at = float("-inf")
        self._glanced_at = float("-inf")
        self._kafka_away = False
        self._creates = State("missing topics are not created", "missing topics are created")
        for risk in Risk:
            metrics.GUARANTEE_AT_RISK.labels(reason=risk.value)

    # --- Looking ------------------------------------------------------------------------------

    def notice(self) -> None:
        """A server is back: look at all of it now."""
        self._looked_at = float("-inf")
        self._called.set()

    async def first(self) -> None:
        """The first look; gives up after `FIRST_SECONDS`, as `run` looks again."""
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                await self.run_once()
        except TimeoutError:
            log.info("settings of the servers are not known yet")

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._called.clear()
            await self.run_once()
            await wait(self._called, GLANCE_SECONDS)

    async def run_once(self) -> None:
        """Ask for the topics, or for all settings if due; then create long-missing topics."""
        if self.monotonic() - self._looked_at >= LOOK_SECONDS or self._kafka_away:
            await self._look()
        else:
            await self.glance()
        await self._create_missing(CREATE_AFTER_SECONDS)

    async def _look(self) -> None:
        kafka, redis = await asyncio.gather(
            _quietly(self.kafka_admin.look()), _quietly(self.redis_policy.look())
        )
        self._kafka_away = kafka is None
        if kafka is not None:
            self._looked_at = self._glanced_at = self.monotonic()
            self._note_topics(kafka.topics)
            self.kafka = kafka
        if redis is not None:
            self.redis = redis
        self._conclude()

    async def glance(self) -> None:
        """Look at which topics exist."""
        async with self._glance:
            topics = await _quietly(self.kafka_admin.identities())
            self._kafka_away = topics is None
            if topics is None:
                return
            self._glanced_at = self.monotonic()
            known = self.kafka.topics
            self._note_topics(topics)
            # The known settings of a topic stay until the next look.
            merged = {
                topic: _merged(known.get(topic), facts) if facts else None
                for topic, facts in topics.items()
            }
            self.kafka = replace(self.kafka, topics=merged)
            self._conclude()

    def _note_topics(self, topics: Mapping[Topic, TopicFacts | None]) -> None:
        absent = frozenset(topic for topic, facts in topics.items() if facts is None)
        self._absences.note(absent, self.monotonic())
        before = self.kafka.topics
        if any(topic in before and _id(before[topic]) != _id(topics[topic]) for topic in topics):
            self._looked_at = float("-inf")  # the settings of a new topic are not known
            self._called.set()
            for tell in self.on_identity:
                tell()

    async def _create_missing(self, seconds: float) -> None:
        """Create the topics that have been missing for so long."""
        if not self._absences.since:
            self._creates.works()  # perhaps an operator has created them
        overdue = self._absences.longer_than(seconds, self.monotonic())
        if not self.wanted.creates_topics or not overdue:
            return
        try:
            await self.kafka_admin.create(overdue)
        except Unavailable as fault:
            self._creates.fails(str(fault))
        else:
            self._creates.works()
            await self.glance()

    # --- Findings -----------------------------------------------------------------------------

    def risk(self, name: Risk, shard: int, sentence: str) -> None:
        """Note a risk that a shard has found; an empty sentence takes it back."""
        self._told.pop((name, shard), None)
        if sentence:
            self._told[name, shard] = sentence
        self._conclude()

    def _conclude(self) -> None:
        self._risks = risks_of(self.kafka, self.redis, self.wanted)
        for (name, _), sentence in sorted(self._told.items()):
            self._risks[name] = f"{self._risks.get(name, '')} {sentence}".strip()
        for risk in Risk:
            metrics.GUARANTEE_AT_RISK.labels(reason=risk.value).set(risk in self._risks)
        self._say()
        limits = _limits(self.kafka, self.wanted)
        if limits != self.limits:
            self.limits = limits
            for tell in self.on_limits:
                tell(limits)

    def _say(self) -> None:
        """Log the findings that have changed."""
        notes = notes_of(self.kafka, self.redis, self.wanted)
        limit = notes.get(Note.JOB_LIMIT, "")
        warnings = {*self._risks.values(), *filter(None, (limit,))}
        unknown = {*self.kafka.unknown, *self.redis.unknown}
        for sentence in sorted(warnings - self._said):
            log.warning("a setting of a server needs attention", reason=sentence)
        for sentence in sorted(unknown - self._said):
            log.info("a setting of a server is not known", reason=sentence)
        gone = self._said - warnings - unknown
        for sentence in sorted(gone):
            log.info("a setting of a server is in order again", was=sentence)
        self._said = frozenset(warnings | unknown)

    def conditions(self) -> Conditions:
        """The findings for health."""
        names, absent = self.wanted.names, missing(self.kafka)
        creates = self.wanted.creates_topics
        reasons = [absence(names[topic], creates=creates) for topic in sorted(absent & NEEDED)]
        if self.require_guarantees:
            others = (text for text in self._risks.values() if text not in " ".join(reasons))
            reasons += [f"SCHEDULING_REQUIRE_GUARANTEES: {sentence}" for sentence in others]
        degraded = [absence(names[topic], creates=creates) for topic in sorted(absent - NEEDED)]
        return Conditions(
            reasons,
            degraded,
            dict(self._risks),
            notes_of(self.kafka, self.redis, self.wanted),
            (*self.kafka.unknown, *self.redis.unknown),
        )

    # --- For the parts that write ---------------------------------------------------------------

    def is_missing(self, topic: Topic) -> bool:
        """Whether the topic is known to be missing."""
        return topic in self._absences.since

    async def is_there(self, topic: Topic) -> bool:
        """Whether a record may be written to the topic; waits a little for one that is missing.

        A record for a topic that does not exist would hold up the transaction that it is in.
        """
        while True:
            if self.monotonic() - self._glanced_at >= FRESH_SECONDS:
                await self.glance()
                await self._create_missing(NEEDED_AFTER_SECONDS)
            if not self.is_missing(topic):
                return True
            if topic in self._absences.longer_than(GIVE_UP_SECONDS, self.monotonic()):
                return False
            await asyncio.sleep(POLL_SECONDS)


class EmbeddedWatch(ServerWatch):
    """For the embedded servers: their settings are fixed, so it asks nothing."""

    async def run(self) -> None:
        """Nothing to do."""

    async def run_once(self) -> None:
        """Nothing to do."""

    async def glance(self) -> None:
        """Nothing to do."""

    def conditions(self) -> Conditions:
        """The note that the servers are embedded."""
        return Conditions(notes=notes_of(self.kafka, self.redis, self.wanted, embedded=True))


def _merged(known: TopicFacts | None, seen: TopicFacts) -> TopicFacts:
    if known is None or known.id != seen.id:
        return seen
    return replace(known, partitions=seen.partitions, replicas=seen.replicas)


def _id(facts: TopicFacts | None) -> str | None:
    return None if facts is None else facts.id


def _limits(kafka: KafkaFacts, wanted: Wanted) -> Limits:
    job = smallest_of(kafka, JOB_TOPICS)
    every = smallest_of(kafka, list(Topic))
    return Limits(
        job=job[0] if job else None,
        job_topic=wanted.names[job[1]] if job else "",
        dead_letter=largest(kafka, Topic.DEAD_LETTER),
        batch=every[0] if every else None,
    )


async def _quietly(asking: Awaitable[Result]) -> Result | None:
    """None if the server does not answer: health reports that, so there is no line here."""
    try:
        return await asking
    except SchedulingError as fault:
        log.debug("the settings of a server cannot be read", reason=str(fault))
        return None
