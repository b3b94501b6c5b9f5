"""Sends answers, and tells when Kafka has confirmed them. All of it in the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from scheduling_client.worker import messages
from scheduling_client.worker.answers import Ended
from scheduling_client.worker.errors import WorkerError
from scheduling_client.worker.runs import Run
from scheduling_client.worker.settings import Settings

log = logging.getLogger("scheduling_client.worker")
POLL_SECONDS = 0.005
"""Between two looks for confirmations, while there are answers without one."""
AGAIN_SECONDS = 1.0
"""Before an answer is sent again that Kafka has refused."""
Confirmed = Callable[[], None]


class Answerer:
    """An idempotent producer. An answer that fails is sent again: the service applies it once."""

    def __init__(self, settings: Settings, failed: Callable[[BaseException], None]) -> None:
        """`failed` is told if nothing more can be sent."""
        self._producer = Producer(settings.producer())
        self._topic, self._failed = settings.topic, failed
        self._loop = asyncio.get_running_loop()
        self._polling = False
        self.unconfirmed = 0
        """Answers on their way."""

    def answer(self, run: Run, partition: int, ended: Ended, confirmed: Confirmed) -> None:
        """Send it to the run's partition; `confirmed` is called when Kafka has it."""
        self.unconfirmed += 1
        key, value = messages.answer(run, ended)
        occurrence = run.headers.get("occurrence-id")
        headers: Any = [("occurrence-id", occurrence)] if occurrence else None
        self._send(key, value, partition, headers, confirmed)

    def heartbeat(self, run: Run, partition: int) -> None:
        """Send a jobHeartbeat, without waiting for it. May be called from any thread."""
        self._loop.call_soon_threadsafe(self._send_heartbeat, run, partition)

    def _send_heartbeat(self, run: Run, partition: int) -> None:
        key, value = messages.heartbeat(run)
        try:
            self._producer.produce(self._topic, value, key, partition, headers=_headers(run))
        except (BufferError, KafkaException) as fault:
            log.warning("a heartbeat was not sent", extra={"reason": str(fault)})
        self._poll_soon()

    def flush(self, within_seconds: float) -> int:
        """Send what is on its way. Returns the number of answers that Kafka has not confirmed."""
        self._producer.flush(within_seconds)
        return self.unconfirmed

    def _send(
        self,
        key: bytes,
        value: bytes,
        partition: int,
        headers: Any,  # noqa: ANN401 - as the producer takes them
        confirmed: Confirmed,
    ) -> None:
        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is None:
                self.unconfirmed -= 1
                confirmed()
            elif error.fatal():
                self._failed(WorkerError(f"Kafka takes no more answers: {error.str()}."))
            else:
                again(error.str())

        def again(reason: str) -> None:
            self._refused(reason, partial(self._send, key, value, partition, headers, confirmed))

        try:
            self._producer.produce(
                self._topic, value, key, partition, on_delivery=delivered, headers=headers
            )
        except (BufferError, KafkaException) as fault:
            again(str(fault))
        if not self._polling:
            self._poll_soon()

    def _refused(self, reason: str, again: Callable[[], None]) -> None:
        log.warning("an answer was not sent, and is sent again", extra={"reason": reason})
        self._loop.call_later(AGAIN_SECONDS, again)

    def _poll_soon(self) -> None:
        if not self._polling:
            self._polling = True
            self._loop.call_later(POLL_SECONDS, self._poll)

    def _poll(self) -> None:
        self._producer.poll(0)
        self._polling = False
        if self.unconfirmed:
            self._poll_soon()


def _headers(run: Run) -> list[tuple[str, Any]]:
    occurrence = run.headers.get("occurrence-id")
    return [("occurrence-id", occurrence)] if occurrence else []
