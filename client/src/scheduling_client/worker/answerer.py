"""Sends answers, and tells when Kafka has confirmed them. All of it in the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from scheduling_client.worker import messages
from scheduling_client.worker.answers import Ended
from scheduling_client.worker.entries import Entry
from scheduling_client.worker.errors import WorkerError
from scheduling_client.worker.runs import Run
from scheduling_client.worker.settings import Settings

log = logging.getLogger("scheduling_client.worker")
POLL_SECONDS = 0.005
"""Between two looks for confirmations, while there are answers without one."""
AGAIN_SECONDS = 1.0
"""Before an answer is sent again that Kafka has refused."""


class Answerer:
    """An idempotent producer. An answer that fails is sent again: the service applies it once."""

    def __init__(
        self,
        settings: Settings,
        confirmed: Callable[[Sequence[Entry]], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`confirmed`: Kafka has the answers to these. `failed`: nothing more can be sent."""
        self._producer = Producer(settings.producer())
        self._topic, self._confirmed, self._failed = settings.topic, confirmed, failed
        self._loop = asyncio.get_running_loop()
        self._polling = self._is_broken = False
        self._unconfirmed = 0
        self._delivered: list[Entry] = []

    @property
    def unconfirmed(self) -> int:
        """Answers on their way."""
        return self._unconfirmed

    @property
    def is_busy(self) -> bool:
        """Whether it is worth while to wait for confirmations."""
        return self._unconfirmed > 0 and not self._is_broken

    def answer(self, entry: Entry, ended: Ended) -> None:
        """Send it to the run's partition."""
        self._unconfirmed += 1
        self._send(entry, ended)

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
            self._call(self._producer.flush, within_seconds)
        return self._unconfirmed

    def _send(self, entry: Entry, ended: Ended) -> None:
        run = entry.run
        key, value = messages.answer(run, ended)
        try:
            self._producer.produce(
                self._topic,
                value,
                key,
                entry.ledger.partition,
                on_delivery=partial(self._told, entry, ended),
                headers=_headers(run),
            )
        except (BufferError, KafkaException) as fault:
            if _is_fatal(fault):
                self._break(fault)
            else:
                self._send_again(entry, ended, str(fault))
        if not self._polling:
            self._poll_soon()

    def _told(self, entry: Entry, ended: Ended, error: KafkaError | None, _: Message) -> None:
        """By Kafka, within a poll."""
        if error is None:
            self._delivered.append(entry)
        elif _ends_all(error):
            self._break(KafkaException(error))
        else:
            self._send_again(entry, ended, error.str())

    def _send_again(self, entry: Entry, ended: Ended, reason: str) -> None:
        if not self._is_broken:
            log.warning("an answer was not sent, and is sent again", extra={"reason": reason})
            self._loop.call_later(AGAIN_SECONDS, self._send, entry, ended)

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
        self._polling = False
        self._call(self._producer.poll, 0)
        if self.is_busy:
            self._poll_soon()

    def _call(self, method: Callable[[float], object], seconds: float) -> None:
        """Let Kafka's client run its callbacks."""
        try:
            try:
                method(seconds)
            finally:
                self._tell_confirmed()
        except Exception as fault:  # noqa: BLE001 - a fatal error, or a fault of a callback
            self._break(fault)

    def _tell_confirmed(self) -> None:
        delivered, self._delivered = self._delivered, []
        if delivered:
            self._unconfirmed -= len(delivered)
            self._confirmed(delivered)


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


def _headers(run: Run) -> Any:  # noqa: ANN401 - as the producer takes them
    occurrence = run.headers.get("occurrence-id")
    return [("occurrence-id", occurrence)] if occurrence else None
