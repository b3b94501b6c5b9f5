"""What is counted of published runs: all of them, and how late those are that were not put off."""

import struct
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from scheduling_srv.app.accepted import count_accepted
from scheduling_srv.app.owner.batch import measure
from scheduling_srv.formats.job_record import varint
from scheduling_srv.formats.outbox_entries import type_of
from scheduling_srv.runtime import metrics
from tests.store.shard import NOW, once

QUEUED = struct.Struct("<cBIQIQHHHI")


def run(nominal: int, attempt: int) -> bytes:
    return QUEUED.pack(b"Q", 2, 7, nominal, attempt, 1, 1, 0, 0, 0) + b"a"


def figure(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def emitted(type_: str) -> float:
    return figure("scheduling_runs_emitted_total", type=type_)


def test_a_retry_is_emitted_but_says_nothing_about_lateness() -> None:
    names = "scheduling_lateness_seconds_count", "scheduling_lateness_seconds_sum"
    before = [emitted("other"), *map(figure, names)]
    hour = 3_600_000
    measure([run(NOW - hour, 2), run(NOW - 10, 1), run(NOW - 20, 1), run(NOW - hour, 3)], NOW)
    measure([run(NOW - hour, 2)], NOW)
    after = [emitted("other"), *map(figure, names)]
    assert [b - a for a, b in zip(before, after, strict=True)][:2] == [5, 2]
    assert round(after[2] - before[2], 3) == 0.03


@pytest.fixture
def _types() -> Iterator[None]:
    metrics.allow_types(["mail", "report"])
    yield
    metrics.allow_types([])


def run_of(type_: str) -> bytes:
    body = varint(len(type_)) + type_.encode()
    return QUEUED.pack(b"Q", 2, 7, NOW, 1, 1, 1, 0, len(body), 0) + b"a" + body


@pytest.mark.usefixtures("_types")
def test_runs_are_counted_by_the_types_that_are_allowed() -> None:
    names = "mail", "report", "other"
    assert emitted("report") == 0.0  # it is there before the first run
    before = [emitted(name) for name in names]
    measure([run_of("mail"), run_of("secret"), run_of("mail"), run_of("long" * 40)], NOW)
    assert [emitted(name) - b for name, b in zip(names, before, strict=True)] == [2, 0, 2]
    assert REGISTRY.get_sample_value("scheduling_runs_emitted_total", {"type": "secret"}) is None


@pytest.mark.parametrize("size", [1, 127, 128, 200])
def test_the_type_of_an_entry(size: int) -> None:
    assert type_of(run_of("t" * size)) == b"t" * size


@pytest.mark.usefixtures("_types")
def test_jobs_are_counted_by_the_types_that_are_allowed() -> None:
    def accepted(type_: str) -> float:
        return figure("scheduling_jobs_accepted_total", type=type_)

    before = [accepted(name) for name in ("mail", "other")]
    mail, other = once("a", type="mail"), once("b")
    count_accepted([mail, other], [mail])
    assert [accepted("mail") - before[0], accepted("other") - before[1]] == [2, 1]
