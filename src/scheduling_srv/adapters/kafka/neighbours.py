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

from scheduling_srv.app.deployment import Member, tag_of
from scheduling_srv.app.pieces import pieces

log = structlog.get_logger(__name__)

REQUEST_SECONDS = 3.0
"""To wait for each answer."""
LOOK_SECONDS = 6.0
"""Of one look, however many groups there are: groups beyond that stay unknown."""
PIECE = 50
"""Groups of one request."""
WITHOUT_MEMBERS = frozenset({ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD})


class KafkaNeighbours:
    """Implements `Groups`. It never fails: a broker that does not say it is gone without."""

    def __init__(
        self,
        client: Callable[[], AdminClient],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self.monotonic = monotonic
        self._said: set[str] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="neighbours")

    async def members(self, group: str) -> Sequence[Member] | None:
        """See `Groups`. `group` is asked for first, also where groups may not be listed."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: self._members(group)
        )

    def _members(self, group: str) -> Sequence[Member] | None:
        until = self.monotonic() + LOOK_SECONDS
        found = self._describe([group])
        others = [name for name in self._living() if name != group]
        for piece in pieces(others, PIECE):
            if self.monotonic() > until:
                self._say("There are too many consumer groups to look at all of them.")
                break
            found = (found or []) + (self._describe(piece) or [])
        return found

    def _living(self) -> Sequence[str]:
        """Names of groups with members; brokers before 2.6 do not say which these are."""
        try:
            listed = self.client().list_consumer_groups(request_timeout=REQUEST_SECONDS).result()
        except KafkaException as fault:
            self._say(f"The consumer groups cannot be listed: {fault.args[0].str()}")
            return []
        return [each.group_id for each in listed.valid if each.state not in WITHOUT_MEMBERS]

    def _describe(self, groups: Sequence[str]) -> list[Member] | None:
        """None: no group of them may be described."""
        answers = self.client().describe_consumer_groups(
            list(groups), request_timeout=REQUEST_SECONDS
        )
        found: list[Member] | None = None
        for name, answer in answers.items():
            try:
                described = answer.result()
            except KafkaException as fault:
                error = fault.args[0]
                if error.code() == KafkaError.GROUP_ID_NOT_FOUND:  # brokers from 4.0 on
                    found = found or []
                else:
                    self._say(f"A consumer group cannot be described: {error.str()}")
            else:
                found = [*(found or ()), *_services(name, described)]
        return found

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
