"""A read_committed consumer that notes when records arrive: a helper (`bench.actors`).

While it measures it only takes messages from librdkafka; what they say is read afterwards.
"""

from __future__ import annotations

import json
import time
from bisect import bisect
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, Message, TopicPartition

from bench.actors import Reply, quantile, serve

QUEUED = "queuedJob"
AT_ONCE = 5_000
"""Messages taken from librdkafka in one call."""
BUCKETS = 200
"""Points of a distribution that are kept for plots."""


class Arrived(NamedTuple):
    """The content of a record, and when it came. Epoch seconds."""

    job_id: str
    nominal: float
    written: float
    seen: float
    """When a worker before Kafka had it; without one, when it came."""
    at: float
    offset: int


class Reader:
    """Reads one topic, one partition."""

    def __init__(self) -> None:
        self.consumer: Consumer | None = None
        self.pieces: list[tuple[float, list[Message]]] = []
        self.key = b""
        self.arrived: list[Arrived] = []

    def watch(self, bootstrap: str, topic: str, key: str = QUEUED) -> Reply:
        """Begin at the start of the topic, and count the records with `key`."""
        self.close()
        self.pieces, self.key, self.arrived = [], key.encode(), []
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "bench",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
                "auto.offset.reset": "earliest",
                "topic.metadata.refresh.interval.ms": 100,
            }
        )
        self.consumer.assign([TopicPartition(topic, 0, 0)])
        self.consumer.poll(0.1)
        return {}

    def forget(self) -> Reply:
        """What has come so far does not count."""
        self.pieces, self.arrived = [], []
        return {}

    def collect(self, count: int, patience: float) -> Reply:
        """Take records until there are `count`, or until none came for `patience` seconds."""
        if self.consumer is None:
            raise RuntimeError("watch first")
        seen = sum(len(messages) for _, messages in self.pieces)
        last = time.time()
        while seen < count and time.time() - last < patience:
            first = self.consumer.poll(0.05)
            if first is None:
                continue
            messages = [first, *self.consumer.consume(AT_ONCE, timeout=0)]
            now = time.time()
            wanted = [each for each in messages if each.key() == self.key and not each.error()]
            if wanted:
                last = now
                self.pieces.append((now, wanted))
                seen += len(wanted)
        return {"count": seen, "last": self.pieces[-1][0] if self.pieces else 0.0}

    def judge(self, ids: str) -> Reply:
        """Each job of the file `ids` once, nothing else, nothing before its time; and how late."""
        self._parse()
        expected = set(Path(ids).read_text().split("\n"))
        seen = [each.job_id for each in self.arrived]
        return {
            "lost": len(expected - set(seen)),
            "doubled": len(seen) - len(set(seen)),
            "strange": len(set(seen) - expected),
            **self._times(),
        }

    def judge_rhythm(self, ids: str, interval: float, since: float, until: float) -> Reply:
        """Every occurrence of recurring jobs with a nominal time in a span, each once."""
        self._parse()
        expected = set(Path(ids).read_text().split("\n"))
        first: dict[str, float] = {}
        counts: Counter[tuple[str, int]] = Counter()
        for each in self.arrived:
            first[each.job_id] = min(first.get(each.job_id, each.nominal), each.nominal)
            counts[each.job_id, round(each.nominal * 1000)] += 1
        lost = len(expected - set(first))
        for job_id, nominal in first.items():
            steps = int((until - nominal) / interval)
            due = (round((nominal + step * interval) * 1000) for step in range(steps + 1))
            lost += sum((job_id, at) not in counts for at in due if at / 1000 < until)
        self.arrived = [each for each in self.arrived if since <= each.nominal < until]
        return {
            "lost": lost,
            "doubled": sum(number - 1 for number in counts.values()),
            "strange": len(set(first) - expected),
            **self._times(),
        }

    def arrivals(self, path: str) -> Reply:
        """Write job id, offset, nominal time and arrival of each record that was judged."""
        rows = [(each.job_id, each.offset, each.nominal, each.at) for each in self.arrived]
        Path(path).write_text(json.dumps(rows))
        return {}

    def silences(self, instants: Sequence[float], whole: bool) -> Reply:  # noqa: FBT001
        """Seconds without a run after each instant: the longest pause until the next instant.

        Not `whole`: only from the instant to the first run after it.
        """
        at = sorted(each.at for each in self.arrived)
        seconds = []
        for begin, end in pairwise([*instants, float("inf")]):
            first, last = bisect(at, begin), bisect(at, end)
            pauses = pairwise(at[max(0, first - 1) : last])
            seconds.append(
                max(later - earlier for earlier, later in pauses) if whole else at[first] - begin
            )
        return {"seconds": seconds}

    def close(self) -> Reply:
        """Stop reading."""
        if self.consumer:
            self.consumer.close()
        self.consumer = None
        return {}

    def _times(self) -> Reply:
        if not self.arrived:
            return {"early": 0, "count": 0}
        late = sorted((each.at - each.nominal) * 1000 for each in self.arrived)
        seen = sorted((each.seen - each.nominal) * 1000 for each in self.arrived)
        return {
            "early": sum(min(each.written, each.seen) < each.nominal for each in self.arrived),
            "count": len(late),
            "nominal": min(each.nominal for each in self.arrived),
            "last": max(each.at for each in self.arrived),
            "p50": quantile(late, 0.5),
            "p99": quantile(late, 0.99),
            "max": late[-1],
            "seen-p50": quantile(seen, 0.5),
            "seen-p99": quantile(seen, 0.99),
            "late": [round(quantile(late, step / BUCKETS), 2) for step in range(BUCKETS)],
        }

    def _parse(self) -> None:
        for now, messages in self.pieces:
            self.arrived += [_arrived(now, message) for message in messages]
        self.pieces = []


def _arrived(now: float, message: Message) -> Arrived:
    pairs: Any = message.headers()  # pairs, whatever else its type allows
    known = {name: value.decode() for name, value in pairs or ()}
    nominal = datetime.fromisoformat(known["nominal-time"]).timestamp()
    written = message.timestamp()[1] / 1000
    seen = float(known["seen"]) / 1000 if "seen" in known else now
    return Arrived(known["job-id"], nominal, written, seen, now, message.offset() or 0)


if __name__ == "__main__":
    serve(Reader())
