"""Asks Kafka which services like this one live (docs/decisions/0019)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from scheduling_srv.app.deployments.deployment import Member, tag_of
from scheduling_srv.app.pieces import pieces
from scheduling_srv.domain.errors import LogUnavailable
from scheduling_srv.kafka.errors import Meaning, meaning_of

log = structlog.get_logger(__name__)

REQUEST_SECONDS = 3.0
"""To wait for each answer."""
LOOK_SECONDS = 6.0
"""Of one look, however many groups there are: groups beyond that stay unknown."""
PIECE = 50
"""Groups of one request."""
GAP_SECONDS = 30.0
"""A broker that does not answer for so long is gone: Kafka has given its groups to others."""
WITHOUT_MEMBERS = frozenset({ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD})


class KafkaNeighbours:
    """Implements `Groups`. What the service may not ask is gone without."""

    def __init__(
        self,
        client: Callable[[], AdminClient],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self.monotonic = monotonic
        self._said: set[str] = set()
        self._gap_since = float("inf")
        """When an answer about other groups began to be missing."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="neighbours")

    async def members(self, group: str) -> Sequence[Member] | None:
        """See `Groups`. `group` is asked for first, also where groups may not be listed.

        Raises `LogUnavailable` when Kafka does not answer.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: self._members(group)
        )

    def _members(self, group: str) -> Sequence[Member] | None:
        until = self.monotonic() + LOOK_SECONDS
        gaps: list[str] = []
        found = self._describe([group], gaps)
        if gaps:
            raise LogUnavailable(gaps[0])
        others = [name for name in self._living(gaps) if name != group]
        for piece in pieces(others, PIECE):
            if self.monotonic() > until:
                self._say("There are too many consumer groups to look at all of them.")
                break
            found = (found or []) + (self._describe(piece, gaps) or [])
        self._judge(gaps)
        return found

    def _judge(self, gaps: Sequence[str]) -> None:
        """Raises `LogUnavailable` unless answers have been missing for long."""
        if not gaps:
            self._gap_since = float("inf")
            return
        now = self.monotonic()
        self._gap_since = min(self._gap_since, now)
        if now - self._gap_since < GAP_SECONDS:
            raise LogUnavailable(gaps[0])
        self._say(gaps[0])

    def _living(self, gaps: list[str]) -> Sequence[str]:
        """Names of groups with members; brokers before 2.6 do not say which these are.

        Appends to `gaps` why a broker did not answer.
        """
        try:
            listed = self.client().list_consumer_groups(request_timeout=REQUEST_SECONDS).result()
        except KafkaException as fault:
            self._note(fault, "The consumer groups cannot be listed", gaps)
            return []
        for missing in listed.errors or ():
            self._note(missing, "Some consumer groups cannot be listed", gaps)
        return [each.group_id for each in listed.valid if each.state not in WITHOUT_MEMBERS]

    def _describe(self, groups: Sequence[str], gaps: list[str]) -> list[Member] | None:
        """None: no group of them may be described. Appends to `gaps` as above."""
        answers = self.client().describe_consumer_groups(
            list(groups), request_timeout=REQUEST_SECONDS
        )
        found: list[Member] | None = None
        for name, answer in answers.items():
            try:
                described = answer.result()
            except KafkaException as fault:
                if fault.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:  # brokers from 4.0 on
                    found = found or []
                else:
                    self._note(fault, "A consumer group cannot be described", gaps)
            else:
                found = [*(found or ()), *_services(name, described)]
        return found

    def _note(self, fault: KafkaException, trouble: str, gaps: list[str]) -> None:
        """Tell a question that is not allowed from one that was not answered."""
        error = fault.args[0]
        reason = f"{trouble}: {error.str()}"
        if meaning_of(error) is Meaning.PASSING:
            gaps.append(reason)
        else:
            self._say(reason)

    def _say(self, reason: str) -> None:
        """Once: it is asked again and again."""
        if reason not in self._said:
            self._said.add(reason)
            log.info("other services on this Kafka are not known", reason=reason)


def _services(group: str, described: Any) -> Iterator[Member]:  # noqa: ANN401 - it has no stubs
    stable = described.state is ConsumerGroupState.STABLE
    for member in described.members:
        if tag := tag_of(member.client_id or ""):
            assigned = member.assignment.topic_partitions if member.assignment else ()
            topics = frozenset(partition.topic for partition in assigned or ())
            yield Member(tag, group, (member.host or "").lstrip("/"), topics, stable)
