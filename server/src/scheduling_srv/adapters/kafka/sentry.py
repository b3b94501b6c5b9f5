"""Looks for runs of another service among consumed records (docs/decisions/0019).

Most records are runs of ours, and reading the headers of one takes three microseconds. So all of
them are looked into while there are few, and an even sample while there are many.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from confluent_kafka import Message

from scheduling_srv.adapters.kafka.headers import headers_of
from scheduling_srv.domain.errors import SharedTopic
from scheduling_srv.formats.kafka_records import DEPLOYMENT, QUEUED_KEY

LOOKS_PER_SECOND = 250
LEAST_LOOKS = 2
"""Records of a batch that are looked into in any case."""


class Strangers(Protocol):
    """The other services on the same Kafka; see `Neighbours`."""

    blocked: str
    """Why nothing may be consumed; empty: it may."""
    watches: bool
    """Whether records are to be looked into at all."""

    def is_foreign(self, header: bytes | None, stamp: int) -> bool:
        """Whether a queuedJob with this header and time stamp is of another service."""

    def saw(self, header: bytes) -> None:
        """Note that such a record was found."""


class Sentry:
    """Looks for foreign runs in the records of one consumer."""

    def __init__(
        self, strangers: Strangers, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.strangers = strangers
        self.monotonic = monotonic
        self._looked = float("-inf")

    def look(self, messages: Sequence[Message]) -> None:
        """Raises `SharedTopic` when one of these records is a run of another service."""
        if not messages or not self.strangers.watches:
            return
        now = self.monotonic()
        allowed = max(LEAST_LOOKS, min(now - self._looked, 1.0) * LOOKS_PER_SECOND)
        self._looked = now
        step = max(1, int(len(messages) / allowed + 1)) if len(messages) > allowed else 1
        for message in messages[::-step]:
            if message.key() == QUEUED_KEY:
                self._look_into(message)

    def check(self) -> None:
        """Raises `SharedTopic` while nothing may be consumed."""
        if self.strangers.blocked:
            raise SharedTopic(self.strangers.blocked)

    def _look_into(self, message: Message) -> None:
        header = next((value for name, value in headers_of(message) if name == DEPLOYMENT), None)
        _, stamp = message.timestamp()
        if header is not None and self.strangers.is_foreign(header, stamp):
            self.strangers.saw(header)
            self.check()
