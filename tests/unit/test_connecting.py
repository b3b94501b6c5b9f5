"""A client of Kafka is ready when a broker has answered by its number; no question waits long."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaException

from scheduling_srv.adapters.kafka import connecting
from scheduling_srv.adapters.kafka.connecting import CALL_SECONDS, TRIES, connect, metadata


class Client:
    """Answers like librdkafka: who has answered is -1 as long as only its address is known."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, float]] = []

    def list_topics(self, topic: str = "", *, timeout: float) -> Any:
        self.asked.append((topic, timeout))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(orig_broker_id=answer)


@pytest.mark.parametrize(
    ("answers", "asked"),
    [([0], 1), ([7], 1), ([-1, 1], 2), ([-1] * TRIES, TRIES)],
    ids=["number-0", "at-once", "bootstrap-first", "never"],
)
def test_it_asks_until_a_broker_has_a_number(answers: list[int], asked: int) -> None:
    client: Any = Client(*answers)
    connect(client, "t", 3.0)
    assert client.asked == [("t", CALL_SECONDS)] * asked


def test_no_answer_is_a_fault() -> None:
    client: Any = Client(-1, KafkaException("away"))
    with pytest.raises(KafkaException, match="away"):
        connect(client, "t", 0.05)


@pytest.mark.parametrize("topic", ["t", None])
def test_a_question_without_an_answer_is_asked_again(
    topic: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """librdkafka finds the brokers again only between two calls."""
    monkeypatch.setattr(connecting, "PAUSE_SECONDS", 0.001)
    client: Any = Client(KafkaException("away"), KafkaException("away"), 1)
    assert metadata(client, topic, seconds=30.0).orig_broker_id == 1
    assert client.asked == [(topic or "", CALL_SECONDS)] * 3


class Clock:
    """Passes while the module sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_the_last_fault_is_raised_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "time", Clock())
    monkeypatch.setattr(connecting, "PAUSE_SECONDS", 2.0)
    client: Any = Client(*[KafkaException(str(number)) for number in range(100)])
    with pytest.raises(KafkaException, match="2"):
        metadata(client, "t", seconds=5.0)
    assert client.asked == [("t", 2.0), ("t", 2.0), ("t", 1.0)]
