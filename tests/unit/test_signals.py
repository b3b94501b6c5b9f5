"""Signals go on when Redis comes back, however its connection ended."""

from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from scheduling_srv.adapters.redis import signals as module
from scheduling_srv.adapters.redis.signals import RedisSignals
from scheduling_srv.app.replies import Signal

CLOSED = "unable to perform operation on <TCPTransport closed=True>; the handler is closed"


class Server:
    """Each connection ends as it is told to, the last one stays."""

    def __init__(self, *ends: Exception) -> None:
        self.ends = list(ends)
        self.redis = self

    def pubsub(self, **_options: Any) -> "Server":
        return self

    async def subscribe(self, *_channels: str) -> None:
        if self.ends:
            raise self.ends.pop(0)

    async def aclose(self) -> None:
        pass


def listening(monkeypatch: pytest.MonkeyPatch, *ends: Exception) -> Any:
    monkeypatch.setattr(module, "RECONNECT", 0)
    server: Any = Server(*ends)
    return RedisSignals(server, "n", 0, name="me").listen()


async def test_it_connects_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by a campaign: uvloop says it in its own way, and the replica ended."""
    ends = RedisConnectionError("gone"), OSError("reset"), RuntimeError(CLOSED)
    signals = listening(monkeypatch, *ends)
    assert (await anext(signals)).kind == "connected"
    await signals.aclose()


async def test_a_fault_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    signals = listening(monkeypatch, RuntimeError("no running event loop"))
    with pytest.raises(RuntimeError, match="no running"):
        await anext(signals)


def test_news_of_refused_jobs_are_passed_on_as_they_are() -> None:
    assert module.parse('refused ["a", "Too large.", [[4, "x y"]]]') == Signal(
        "refused", news='["a", "Too large.", [[4, "x y"]]]'
    )
