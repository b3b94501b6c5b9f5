"""Asks Kafka which services like this one live (docs/decisions/0019).

It asks with the old call `list_groups`. The newer `describe_consumer_groups` aborts the process if
a broker answers after the timeout: github.com/confluentinc/librdkafka/issues/4605.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from scheduling_srv.adapters.kafka.errors import Meaning, meaning_of
from scheduling_srv.app.deployments.deployment import OLDER, Member, Tag, tag_of
from scheduling_srv.domain.errors import LogUnavailable

log = structlog.get_logger(__name__)

LOOK_SECONDS = 6.0
"""Seconds that one look at all groups may take."""
GAP_SECONDS = 30.0
"""A broker that does not answer for so long is gone: Kafka has given its groups to others."""
STABLE = "Stable"
"""The state of a group whose members know their partitions."""
PASSING = frozenset({KafkaError._PARTIAL, KafkaError._TIMED_OUT})  # noqa: SLF001 - its public names

_VERSION_AND_TOPICS = struct.Struct(">hi")
_SIZE = struct.Struct(">h")
_COUNT = struct.Struct(">i")
_PARTITION_BYTES = 4


class KafkaNeighbours:
    """Implements `Groups`. Groups that the service may not describe are missing in the answer."""

    def __init__(
        self,
        client: Callable[[], AdminClient],
        *,
        group: str,
        client_id: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`group` and `client_id` are this service's, as its settings name them."""
        self.client = client
        self.group = group
        self.client_id = client_id
        self.monotonic = monotonic
        self._said: set[str] = set()
        self._gap_since = float("inf")
        """When answers began to be missing."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="neighbours")

    async def members(self) -> Sequence[Member] | None:
        """See `Groups`. Raises `LogUnavailable` when a broker does not answer."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._members)

    def _members(self) -> Sequence[Member] | None:
        try:
            groups = self.client().list_groups(timeout=LOOK_SECONDS)
        except KafkaException as fault:
            self._judge(fault.args[0])
            return None
        self._gap_since = float("inf")
        return [member for group in groups for member in self._services(group)]

    def _judge(self, error: KafkaError) -> None:
        """Raises `LogUnavailable` unless answers have been missing for long."""
        reason = f"The consumer groups cannot be listed: {error.str()}"
        if error.code() in PASSING or meaning_of(error) is Meaning.PASSING:
            now = self.monotonic()
            self._gap_since = min(self._gap_since, now)
            if now - self._gap_since < GAP_SECONDS:
                raise LogUnavailable(reason)
        self._say(reason)

    def _services(self, group: Any) -> Iterator[Member]:  # noqa: ANN401 - it has no stubs
        if group.error is not None:
            self._say(f"A consumer group cannot be described: {group.error.str()}")
            return
        for member in group.members:
            if tag := self._tag(group.id, member.client_id or ""):
                host = (member.client_host or "").lstrip("/")
                topics = assigned_topics(member.assignment or b"")
                yield Member(tag, group.id, host, topics, group.state == STABLE)

    def _tag(self, group: str, client_id: str) -> Tag | None:
        older = group == self.group and client_id == self.client_id
        return OLDER if older else tag_of(client_id)

    def _say(self, reason: str) -> None:
        """Once: it is asked again and again."""
        if reason not in self._said:
            self._said.add(reason)
            log.info("other services on this Kafka are not known", reason=reason)


def assigned_topics(raw: bytes) -> frozenset[str]:
    """The topics of a member's assignment, as Kafka's consumer protocol writes it.

    It is a version, and for each topic its name and its partitions. Anything else has no topics.
    """
    try:
        return frozenset(_topics(raw))
    except (struct.error, UnicodeDecodeError):
        return frozenset()


def _topics(raw: bytes) -> Iterator[str]:
    _, count = _VERSION_AND_TOPICS.unpack_from(raw)
    at = _VERSION_AND_TOPICS.size
    for _ in range(count):
        (size,) = _SIZE.unpack_from(raw, at)
        at += _SIZE.size
        yield raw[at : at + size].decode()
        (partitions,) = _COUNT.unpack_from(raw, at + size)
        if size < 0 or partitions < 0:
            raise struct.error("a negative size")
        at += size + _COUNT.size + _PARTITION_BYTES * partitions
