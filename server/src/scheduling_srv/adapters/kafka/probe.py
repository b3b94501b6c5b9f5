"""Whether Kafka answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from scheduling_srv.adapters.kafka import clients as kafka_clients

TIMEOUT_SECONDS = 0.9
"""Seconds: a request for the health waits no longer than one."""


class KafkaProbe:
    """Asks the broker for the metadata of one topic."""

    def __init__(self, config: Mapping[str, str | int | float | bool], topic: str) -> None:
        self.config = config
        self.topic = topic
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-probe")

    @cached_property
    def admin(self) -> AdminClient:
        """Made when it is needed: wrong properties are told before."""
        return kafka_clients.make_admin(self.config)

    async def ping(self) -> None:
        """Raises `LogUnavailable` when there is no answer."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(
                self.thread,
                lambda: kafka_clients.ask(self.admin, self.config, self.topic, TIMEOUT_SECONDS),
            )
        except KafkaException as fault:
            raise kafka_clients.unavailable(fault, self.config) from fault
