"""The identity of the topic: one that was made anew has the old name and other records.

An offset of the old topic means nothing in the new one. Kafka refuses it only while the new topic
is shorter.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, Uuid
from confluent_kafka.admin import AdminClient

from scheduling_client.worker.backlog import ASK_SECONDS
from scheduling_client.worker.settings import Settings

log = logging.getLogger("scheduling_client.worker")
EVERY_SECONDS = 5.0
"""Between two looks. Runs of a topic made anew may come so much later."""
NONE = str(Uuid(0, 0))
"""Of a broker that gives no identities."""
MOCK = "mockCluster"
"""Beginning of the cluster's name in librdkafka's mock, which has no controller to ask."""


class TopicIdentity:
    """Only the thread of the reader calls it."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic
        self._admin = AdminClient(settings.admin())
        self._gives_any: bool | None = None
        """None: not known yet."""
        self._asked: Future[Any] | None = None
        self._due = time.monotonic() + EVERY_SECONDS

    def ask(self) -> str:
        """Empty if the broker gives none. Each of two questions blocks for ten seconds at most.

        Raises `KafkaException`.
        """
        if self._gives_any is None:
            about: Any = self._admin.list_topics(self._topic, timeout=ASK_SECONDS)
            self._gives_any = not (about.cluster_id or "").startswith(MOCK)
        return self._answer(self._question()) if self._gives_any else ""

    def news(self) -> str:
        """The identity if an answer has come since the last call, else empty. Never blocks."""
        if not self._gives_any:
            return ""
        if self._asked is None:
            if time.monotonic() >= self._due:
                self._asked = self._question()
            return ""
        if not self._asked.done():
            return ""
        asked, self._asked = self._asked, None
        self._due = time.monotonic() + EVERY_SECONDS
        try:
            return self._answer(asked)
        except KafkaException as fault:  # it is asked again soon
            log.debug("Kafka does not describe the topic", extra={"reason": str(fault)})
            return ""

    def _question(self) -> Future[Any]:
        """Its result is a description of the topic."""
        topics = TopicCollection([self._topic])
        return self._admin.describe_topics(topics, request_timeout=ASK_SECONDS)[self._topic]

    def _answer(self, asked: Future[Any]) -> str:
        try:
            found = str(asked.result(ASK_SECONDS).topic_id)
        except TimeoutError as fault:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from fault  # noqa: SLF001
        return "" if found == NONE else found
