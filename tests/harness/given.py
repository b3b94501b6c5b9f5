"""Servers that somebody else runs; tests may use them, but neither stop nor empty them."""

from dataclasses import dataclass
from typing import Protocol

import redis

from tests.harness.waiting import PATIENCE_SECONDS


class Kafka(Protocol):
    """What a test needs to know of a Kafka that it does not break."""

    @property
    def bootstrap(self) -> str: ...


class Store(Protocol):
    """What a test needs to know of a Valkey or Redis that it does not break."""

    @property
    def url(self) -> str: ...

    def client(self) -> redis.Redis: ...


@dataclass(frozen=True)
class GivenKafka:
    bootstrap: str


@dataclass(frozen=True)
class GivenStore:
    url: str

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(
            self.url, decode_responses=True, socket_timeout=PATIENCE_SECONDS
        )
