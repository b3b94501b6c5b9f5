"""A broker that answers too late ends no process (librdkafka issue 4605)."""

import subprocess
import sys
from pathlib import Path

from tests.harness.kafka import KafkaServer
from tests.harness.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
ASK = """
import asyncio, sys
from confluent_kafka.admin import AdminClient
from scheduling_srv.adapters.kafka import neighbours
from scheduling_srv.domain.errors import LogUnavailable

neighbours.LOOK_SECONDS = 0.3
client = AdminClient({"bootstrap.servers": sys.argv[1], "log_level": 0})

async def main():
    asked = neighbours.KafkaNeighbours(lambda: client, group="group", client_id="client")
    for _ in sys.stdin:
        try:
            print("answered", await asked.members(), flush=True)
        except LogUnavailable as fault:
            print("unanswered", fault, flush=True)

asyncio.run(main())
"""


def test_a_frozen_broker_that_answers_later_is_survived(breakable_kafka: KafkaServer) -> None:
    """`describe_consumer_groups` aborted the process within a few rounds."""
    with subprocess.Popen(
        [sys.executable, "-c", ASK, breakable_kafka.bootstrap],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as asking:
        assert asking.stdin
        assert asking.stdout

        questions, answers = asking.stdin, asking.stdout

        def ask() -> str:
            print("ask", file=questions, flush=True)
            return answers.readline().split()[0]

        while ask() != "answered":  # a look has 0.3 s only
            pass
        for _ in range(8):
            breakable_kafka.pause()
            try:
                assert [ask(), ask()] == ["unanswered"] * 2
            finally:
                breakable_kafka.resume()
            while ask() != "answered":
                pass
        asking.stdin.close()
        assert asking.wait(PATIENCE_SECONDS) == 0


def test_no_code_uses_the_calls_that_abort() -> None:
    """They all ask a group's coordinator through the same broken code."""
    names = "describe_consumer_groups", "list_consumer_groups", "consumer_group_offsets"
    for room in ("server/src", "tests", "chaos", "bench", "accept", "examples"):
        for file in (ROOT / room).rglob("*.py"):
            assert not [name for name in names if f"{name}(" in file.read_text()], file
