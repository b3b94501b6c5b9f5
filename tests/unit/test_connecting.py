"""A client of Kafka is ready when a broker has answered by its number."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaException

from scheduling_srv.adapters.kafka.connecting import TRIES, connect


class Client:
    """Answers like librdkafka: who has answered is -1 as long as only its address is known."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, float]] = []

    def list_topics(self, topic: str, timeout: float) -> Any:
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
    assert client.asked == [("t", 3.0)] * asked


def test_no_answer_is_a_fault() -> None:
    client: Any = Client(-1, KafkaException("away"))
    with pytest.raises(KafkaException, match="away"):
        connect(client, "t", 3.0)
