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
        self._polling = self._is_broken = False
        self._unconfirmed = 0

    @property
    def unconfirmed(self) -> int:
        """Answers on their way."""
        return self._unconfirmed

    @property
    def is_busy(self) -> bool:
        """Whether it is worth while to wait for confirmations."""
        return self._unconfirmed > 0 and not self._is_broken

    def answer(self, run: Run, partition: int, ended: Ended, confirmed: Confirmed) -> None:
        """Send it to the run's partition; `confirmed` is called when Kafka has it."""
        self._unconfirmed += 1
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
            if _is_fatal(fault):
                self._break(fault)
        self._poll_soon()

    def flush(self, within_seconds: float) -> int:
        """Send all answers. Returns the number of those that Kafka has not confirmed."""
        if not self._is_broken:
            try:
                self._producer.flush(within_seconds)
            except Exception as fault:  # noqa: BLE001 - the worker ends, whatever it is
                self._break(fault)
        return self._unconfirmed

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
                self._unconfirmed -= 1
                confirmed()
            elif _ends_all(error):
                self._break(KafkaException(error))
            else:
                again(error.str())

        def again(reason: str) -> None:
            self._refused(reason, partial(self._send, key, value, partition, headers, confirmed))

        try:
            self._producer.produce(
                self._topic, value, key, partition, on_delivery=delivered, headers=headers
            )
        except (BufferError, KafkaException) as fault:
            if _is_fatal(fault):
                self._break(fault)
            else:
                again(str(fault))
        if not self._polling:
            self._poll_soon()

    def _refused(self, reason: str, again: Callable[[], None]) -> None:
        if not self._is_broken:
            log.warning("an answer was not sent, and is sent again", extra={"reason": reason})
            self._loop.call_later(AGAIN_SECONDS, again)

    def _break(self, fault: BaseException) -> None:
        """Nothing more can be sent."""
        self._is_broken = True
        error = _error_of(fault)
        if error is not None:
            fault = WorkerError(f"Kafka takes no more answers: {error.str()}.")
        self._failed(fault)

    def _poll_soon(self) -> None:
        if not self._polling:
            self._polling = True
            self._loop.call_later(POLL_SECONDS, self._poll)

    def _poll(self) -> None:
        try:
            self._producer.poll(0)
        except Exception as fault:  # noqa: BLE001 - a fatal error, or a fault of a callback
            self._break(fault)
        finally:
            self._polling = False
        if self.is_busy:
            self._poll_soon()


def _error_of(fault: BaseException) -> KafkaError | None:
    """Kafka's error within an exception.

    confluent-kafka notes its exception before it calls a callback of ours. Python then raises
    `SystemError` from it.
    """
    if isinstance(fault, SystemError) and fault.__cause__ is not None:
        fault = fault.__cause__
    found = fault.args[0] if isinstance(fault, KafkaException) and fault.args else None
    return found if isinstance(found, KafkaError) else None


def _is_fatal(fault: BaseException) -> bool:
    error = _error_of(fault)
    return error is not None and _ends_all(error)


def _ends_all(error: KafkaError) -> bool:
    """After a fatal error each call raises _FATAL, which says of itself that it is not fatal."""
    return error.fatal() or error.code() == KafkaError._FATAL  # noqa: SLF001 - its public name


def _headers(run: Run) -> list[tuple[str, Any]]:
    occurrence = run.headers.get("occurrence-id")
    return [("occurrence-id", occurrence)] if occurrence else []
