"""Signals go on when Redis comes back, however its connection ended."""

from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError
from structlog.testing import capture_logs

from scheduling_srv.adapters.redis import client, signals
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.signals import RedisSignals
from scheduling_srv.app.replies import Signal
from scheduling_srv.runtime import states
from scheduling_srv.runtime.states import States

CLOSED = "unable to perform operation on <TCPTransport closed=True>; the handler is closed"


class Server:
    """Each connection ends as it is told to, the last one stays."""

    def __init__(self, *ends: Exception) -> None:
        self.ends = list(ends)
        self.connection = None
        self.pauses: list[float] = []

    def __call__(self, **_options: Any) -> "Server":
        return self

    def pubsub(self, **_options: Any) -> "Server":
        return self

    async def subscribe(self, *_channels: str) -> None:
        if self.ends:
            raise self.ends.pop(0)

    async def get_message(self, **_options: Any) -> None:
        pass

    async def aclose(self) -> None:
        pass

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


def listening(monkeypatch: pytest.MonkeyPatch, *ends: Exception) -> tuple[Any, Server]:
    server = Server(*ends)
    monkeypatch.setattr(client, "Redis", server)
    monkeypatch.setattr(signals, "asyncio", server)
    connections = RedisClient("redis://127.0.0.1:1/0")
    states = States(lambda: sum(server.pauses))
    return RedisSignals(connections, "n", 0, name="me", states=states).listen(), server


async def test_it_connects_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by a campaign: uvloop says it in its own way, and the replica ended."""
    ends = RedisConnectionError("gone"), OSError("reset"), RuntimeError(CLOSED)
    heard, _ = listening(monkeypatch, *ends)
    assert (await anext(heard)).kind == "connected"
    await heard.aclose()


async def test_a_refusal_is_said_once_and_asked_about_less_and_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A right may be taken away while the service runs: it goes on without signals."""
    monkeypatch.setattr(states, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(states.STATES, "causes", set())
    heard, server = listening(monkeypatch, *[NoPermissionError("no channels")] * 8)
    with capture_logs() as logs:
        assert (await anext(heard)).kind == "connected"
    assert [line["log_level"] for line in logs] == ["warning", "info"]
    assert "no channels" in logs[0]["reason"]
    assert server.pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5]
    await heard.aclose()


async def test_a_fault_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, _ = listening(monkeypatch, RuntimeError("no running event loop"))
    with pytest.raises(RuntimeError, match="no running"):
        await anext(heard)


def test_news_of_refused_jobs_are_passed_on_as_they_are() -> None:
    assert signals.parse('refused ["a", "Too large.", [[4, "x y"]]]') == Signal(
        "refused", news='["a", "Too large.", [[4, "x y"]]]'
    )
