"""The worker kit beside faults of others: one bad record or handler does not end the worker."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pydantic
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from scheduling_client.wire.job_pb2 import ScheduledJob
from scheduling_client.worker import (
    AlreadyDone,
    Data,
    Ended,
    Item,
    MemoryStore,
    Run,
    Worker,
    WorkerError,
    answerer,
    engine,
    reader,
)
from scheduling_client.worker.answerer import Answerer
from scheduling_client.worker.answers import DONE
from scheduling_client.worker.engine import Engine
from scheduling_client.worker.entries import Entry, Lane
from scheduling_client.worker.figures import Figures, TypeFigures
from scheduling_client.worker.keeper import Keeper
from scheduling_client.worker.ledger import Ledger
from scheduling_client.worker.processes import Child
from scheduling_client.worker.reader import Reader
from tests.harness.waiting import becomes

Handler = Callable[..., Any]
Headers = Sequence[tuple[str, bytes | None]]


def a_run(payload: bytes = b"") -> Run:
    return Run(id=7, type="t", data=Data((Item("", payload),)))


# --- Payloads and handlers ----------------------------------------------------------------------


@dataclass
class Keyed:
    name: str

    def __post_init__(self) -> None:
        raise KeyError(self.name)


class Validated(pydantic.BaseModel):
    number: int

    @pydantic.field_validator("number")
    @classmethod
    def found(cls, number: int) -> int:
        if number:
            raise SystemExit("secret")
        raise KeyError("secret")


class Mute(Exception):
    def __str__(self) -> str:
        raise KeyError("secret")


async def take_any(payload: Any) -> None: ...
async def take_keyed(payload: Keyed) -> None: ...
async def take_validated(payload: Validated) -> None: ...
async def take_set(payload: set[Any]) -> None: ...


@pytest.mark.parametrize(
    ("handler", "payload"),
    [
        (take_any, b"[" * 100_000),
        (take_keyed, b'{"name": "secret"}'),
        (take_validated, b'{"number": 0}'),
        (take_validated, b'{"number": 1}'),
        (take_set, b"[[1]]"),
    ],
)
async def test_a_payload_that_breaks_its_reader_is_discarded(
    handler: Handler, payload: bytes
) -> None:
    worker = Worker("w")
    worker.job("t")(handler)
    ended = await worker.run_one(a_run(payload))
    assert ended.final
    assert "secret" not in str(ended.error)


def leave() -> NoReturn:
    raise SystemExit(3)


def close() -> NoReturn:
    raise GeneratorExit


def mumble() -> NoReturn:
    raise Mute


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (leave, "SystemExit: 3"),
        (close, "RuntimeError: The function raised GeneratorExit."),
        (mumble, "Mute"),
    ],
)
async def test_a_thread_that_raises_anything_fails_the_run(function: Handler, error: str) -> None:
    worker = Worker("w")
    worker.job("t")(function)
    assert await worker.run_one(a_run()) == Ended(error)


async def test_a_child_process_that_exits_fails_the_run() -> None:
    worker = Worker("w")
    worker.job("t", processes=True)(leave)
    assert await worker.run_one(a_run()) == Ended("SystemExit: 3")


async def test_a_coroutine_that_exits_fails_the_run() -> None:
    worker = Worker("w")

    @worker.job("t")
    async def handle() -> None:
        leave()

    assert await worker.run_one(a_run()) == Ended("SystemExit: 3")


# --- Records --------------------------------------------------------------------------------------


class Record:
    """A queuedJob as the consumer gives it."""

    def __init__(self, offset: int, headers: Headers, *, partition: int = 0) -> None:
        self._offset, self._headers, self._partition = offset, headers, partition

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"queuedJob"

    def value(self) -> bytes:
        return ScheduledJob(id=self._offset + 1, type="t").SerializeToString()

    def headers(self) -> Headers:
        return self._headers

    def error(self) -> None:
        return None


class FakeReader:
    def __init__(self, *_: object) -> None:
        self.freed = 0
        self.commits: list[Mapping[int, int]] = []
        self.cut: list[int] = []
        self.is_ready = True
        self.rested = False

    def free(self) -> None:
        self.freed += 1

    def commit(self, offsets: Mapping[int, int]) -> None:
        self.commits.append(offsets)

    def begin_anew(self, partition: int) -> None:
        self.cut.append(partition)

    def rest(self) -> None:
        self.rested = True

    def start(self) -> None: ...
    def close(self) -> None: ...


class FakeAnswerer:
    """Kafka confirms each answer at once."""

    unconfirmed = 0
    is_busy = False

    def __init__(self, _: object, confirmed: Callable[[Sequence[Entry]], None], __: object) -> None:
        self._confirmed = confirmed
        self.answers: list[tuple[int, Ended]] = []

    def answer(self, entry: Entry, ended: Ended) -> None:
        self.answers.append((entry.run.id, ended))
        asyncio.get_running_loop().call_soon(self._confirmed, [entry])

    def flush(self, _: float) -> int:
        return 0


class AtWork:
    """An engine without Kafka, which reads partition 0 from its beginning."""

    def __init__(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch, store: MemoryStore | None = None
    ) -> None:
        monkeypatch.setattr(engine, "Reader", FakeReader)
        monkeypatch.setattr(engine, "Answerer", FakeAnswerer)
        self.faults: list[BaseException] = []
        self.figures = Figures(tuple(worker.jobs))
        self.engine = Engine(
            replace(worker._settings(), instance="i"),
            worker.jobs,
            Keeper(store or MemoryStore()),
            self.figures,
            self.faults.append,
        )
        self.reader: Any = self.engine._reader
        self.ledger = Ledger(0, 0)
        self.engine.assigned([self.ledger])

    @property
    def answers(self) -> list[tuple[int, Ended]]:
        answerer: Any = self.engine._answerer
        found: list[tuple[int, Ended]] = answerer.answers
        return found

    def receive(self, *records: Any) -> None:
        self.engine.receive(records, credit=True)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "header",
    [
        ("occurrence-id", None),
        ("occurrence-id", b"\xff"),
        ("attempt", b"x"),
        ("attempt", None),
        ("deadline", b"soon"),
        ("labels", b"["),
    ],
)
@pytest.mark.parametrize("fails", [False, True])
async def test_a_record_with_an_odd_header_is_done_as_its_neighbours(
    monkeypatch: pytest.MonkeyPatch, header: tuple[str, bytes | None], fails: bool
) -> None:
    worker = Worker("w")

    @worker.job("t")
    async def handle(run: Run) -> None:
        assert (run.attempt, run.deadline, run.labels) == (1, None, {})
        if fails:
            raise ValueError

    work = AtWork(worker, monkeypatch)
    work.receive(*[Record(n, [header] if n == 1 else []) for n in range(3)])
    await settle()
    ended = Ended("ValueError") if fails else Ended()
    assert work.answers == [(1, ended), (2, ended), (3, ended)]
    assert (work.ledger.committable, work.reader.freed) == (3, 1)
    assert not work.faults


def test_ids_that_are_no_text_stay_different() -> None:
    runs = [Run(id=1, type="t", headers={"occurrence-id": each}) for each in (b"\xff", b"\xfe")]
    assert runs[0].occurrence_id != runs[1].occurrence_id


@pytest.mark.parametrize("method", ["known", "note"])
async def test_a_store_that_breaks_ends_the_worker_with_its_fault(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    worker = Worker("w")
    store = MemoryStore()

    @worker.job("t")
    async def handle() -> None: ...

    def breaks(_: object) -> NoReturn:
        raise KeyError(method)

    monkeypatch.setattr(store, method, breaks)
    work = AtWork(worker, monkeypatch, store)
    work.receive(Record(0, [("occurrence-id", b"a")]))
    await settle()
    assert [type(fault) for fault in work.faults] == [KeyError]
    assert work.reader.freed == 1


# --- Answers --------------------------------------------------------------------------------------

FATAL = KafkaException(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "gap", fatal=True))
LATER = KafkaException(KafkaError(KafkaError._FATAL, "gap"))
"""A call after the fatal error raises it. Its `fatal()` is false."""


class BrokenProducer:
    """Raises `polled` at a poll, and `produced` instead of taking a record."""

    def __init__(self, polled: Exception | None, produced: Exception | None) -> None:
        self._polled, self._produced = polled, produced

    def produce(self, *_: object, **__: object) -> None:
        if self._produced is not None:
            raise self._produced

    def poll(self, _: float) -> None:
        if self._polled is not None:
            raise self._polled

    def flush(self, within: float) -> None:
        self.poll(within)


def an_answerer(faults: list[BaseException]) -> Answerer:
    settings = replace(Worker("w")._settings(), instance="i")
    return Answerer(settings, lambda _: None, faults.append)


def an_entry() -> Entry:
    worker = Worker("w")
    worker.job("t")(leave)
    return Entry(Run(1, "t"), Lane(worker.jobs["t"], TypeFigures()), Ledger(0, 0), 0, 0)


def late() -> SystemError:
    """As Python raises it where a callback was called after the error."""
    fault = SystemError("returned a result with an exception set")
    fault.__cause__ = FATAL
    return fault


@pytest.mark.parametrize(
    ("polled", "produced"), [(FATAL, None), (late(), None), (None, FATAL), (None, LATER)]
)
@pytest.mark.parametrize("heartbeat", [False, True])
async def test_a_fatal_error_of_the_producer_ends_the_worker(
    monkeypatch: pytest.MonkeyPatch,
    polled: Exception | None,
    produced: Exception | None,
    heartbeat: bool,
) -> None:
    monkeypatch.setattr(answerer, "Producer", lambda _: BrokenProducer(polled, produced))
    faults: list[BaseException] = []
    answers = an_answerer(faults)
    if heartbeat:
        answers.heartbeat(Run(id=1, type="t"), 0)
    else:
        answers.answer(an_entry(), DONE)
    await becomes(lambda: faults)
    assert str(faults[0]) == "Kafka takes no more answers: gap."
    assert isinstance(faults[0], WorkerError)
    assert not answers.is_busy
    assert answers.flush(1) == (0 if heartbeat else 1)


async def test_an_answer_that_kafka_refuses_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = BrokenProducer(None, BufferError("full"))
    monkeypatch.setattr(answerer, "Producer", lambda _: producer)
    monkeypatch.setattr(answerer, "AGAIN_SECONDS", 0.01)
    faults: list[BaseException] = []
    answers = an_answerer(faults)
    sent: list[Any] = []
    answers.answer(an_entry(), DONE)
    monkeypatch.setattr(producer, "produce", lambda *given, **_: sent.append(given))
    await becomes(lambda: sent)
    assert len(sent) == 1
    assert answers.is_busy
    assert not faults


# --- Topics that were cut -------------------------------------------------------------------------


async def test_an_offset_that_comes_again_begins_the_partition_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = Worker("w")

    @worker.job("t")
    async def handle() -> None: ...

    work = AtWork(worker, monkeypatch)
    work.receive(Record(500, []))
    await settle()
    work.receive(Record(0, []), Record(1, []))
    assert work.reader.cut == [0]
    await work.engine.released([0], 1)
    work.engine.assigned([Ledger(0, 0)])
    work.receive(Record(0, []), Record(1, []))
    await settle()
    assert [run for run, _ in work.answers] == [501, 1, 2]
    assert work.reader.freed == 3


class FakeIdentity:
    """The topic is `first`, until a test says otherwise."""

    def __init__(self, _: object) -> None:
        self.now, self.told = "first", ""

    def ask(self) -> str:
        return self.now

    def news(self) -> str:
        told, self.told = self.told, ""
        return told


class FakeConsumer:
    """The group has committed offset 5000; partition 0 ends at 10, partition 1 at 6000."""

    def __init__(self, _: object) -> None:
        self.identity = ""
        self.commits: list[TopicPartition] = []
        self.sought: list[TopicPartition] = []
        self.polled: list[Any] = []
        self.consumed: list[Any] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def committed(self, places: list[TopicPartition], **_: object) -> list[TopicPartition]:
        about = 5000, self.identity
        return [TopicPartition(each.topic, each.partition, *about) for each in places]

    def commit(self, *, offsets: list[TopicPartition], **_: object) -> None:
        self.commits += offsets

    def get_watermark_offsets(self, place: TopicPartition, **_: object) -> tuple[int, int]:
        return 0, (10, 6000)[place.partition]

    def offsets_for_times(self, places: list[TopicPartition], **_: object) -> list[TopicPartition]:
        return [TopicPartition(each.topic, each.partition, 3) for each in places]

    def incremental_assign(self, places: list[TopicPartition]) -> None: ...

    def seek(self, place: TopicPartition) -> None:
        self.sought.append(place)

    def assignment(self) -> list[TopicPartition]:
        return []

    def pause(self, _: object) -> None: ...
    def resume(self, _: object) -> None: ...

    def poll(self, _: float) -> Any:
        return self.polled.pop() if self.polled else None

    def consume(self, *_: object) -> list[Any]:
        self.meanwhile()
        return self.consumed


class FakeScan:
    """Finds that all runs before the end 10 are answered, where it begins before it."""

    def __init__(self, *_: object) -> None: ...

    def run(self, _: object, __: object, starts: Mapping[int, int], ___: object) -> Any:
        return {each: (max(start, 10), frozenset()) for each, start in starts.items()}


class Held:
    """The event loop's side of a reader."""

    def __init__(self) -> None:
        self.ledgers: list[Ledger] = []
        self.gone: list[int] = []
        self.confirmed: dict[int, int] = {}

    def committed(self, offsets: Mapping[int, int]) -> None:
        self.confirmed.update(offsets)

    def assigned(self, ledgers: Sequence[Ledger]) -> None:
        self.ledgers += ledgers

    async def released(self, partitions: Sequence[int], _: float) -> Mapping[int, int]:
        self.gone += partitions
        return {}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[Any, Held]]:
    """Makes a reader whose thread is not started."""
    monkeypatch.setattr(reader, "Consumer", FakeConsumer)
    monkeypatch.setattr(reader, "Scan", FakeScan)
    monkeypatch.setattr(reader, "TopicIdentity", FakeIdentity)

    def make() -> tuple[Any, Held]:
        held = Held()
        made: Any = Reader(replace(Worker("w")._settings(), instance="i"), ("t",), held)  # type: ignore[arg-type]
        return made, held

    return make


async def test_a_committed_offset_beyond_the_end_counts_as_none(
    read: Callable[[], tuple[Any, Held]],
) -> None:
    made, held = read()
    made._assign(made._consumer, [TopicPartition("x", 0), TopicPartition("x", 1)])
    await settle()
    found = {each.partition: (each.position, each.scanned) for each in held.ledgers}
    assert found == {0: (3, 10), 1: (5000, 5000)}


async def test_a_partition_that_was_cut_is_read_from_its_first_open_run(
    read: Callable[[], tuple[Any, Held]],
) -> None:
    made, held = read()
    made._assign(made._consumer, [TopicPartition("x", 1)])
    await asyncio.to_thread(made._begin_anew, 1)
    await asyncio.to_thread(made._begin_anew, 0)  # another worker has it
    await settle()
    assert [(each.partition, each.offset) for each in made._consumer.sought] == [(1, 3)]
    assert (held.gone, [each.position for each in held.ledgers]) == ([1], [5000, 3])


@pytest.mark.parametrize(
    ("noted", "now", "position"),
    [
        ("first", "second", 3),
        ("first", "first", 5000),
        ("", "first", 5000),  # of a worker that noted none
        ("first", "", 5000),  # a broker that gives none
    ],
)
async def test_an_offset_of_another_topic_counts_as_none(
    read: Callable[[], tuple[Any, Held]], noted: str, now: str, position: int
) -> None:
    made, held = read()
    made._consumer.identity, made._identity.now = noted, now
    made._assign(made._consumer, [TopicPartition("x", 1)])
    await settle()
    assert [each.position for each in held.ledgers] == [position]


async def test_a_commit_says_which_topic_it_is_of(read: Callable[[], tuple[Any, Held]]) -> None:
    made, _ = read()
    made._assign(made._consumer, [TopicPartition("x", 1)])
    made.commit({1: 5001})
    await asyncio.to_thread(made._turn)
    (commit,) = made._consumer.commits
    assert (commit.partition, commit.offset, commit.metadata) == (1, 5001, "first")


@pytest.mark.parametrize(("told", "begun"), [("second", [0, 1]), ("first", []), ("", [])])
async def test_all_partitions_of_a_topic_made_anew_are_read_anew(
    read: Callable[[], tuple[Any, Held]], told: str, begun: list[int]
) -> None:
    """Once each, and when they are not paused."""
    made, held = read()
    made._assign(made._consumer, [TopicPartition("x", 0), TopicPartition("x", 1)])
    made._identity.now = "second"
    for resting in (True, True, False, False):
        made._resting, made._identity.told = resting, told
        await asyncio.to_thread(made._turn)
        assert held.gone == ([] if resting else begun)
    assert [each.partition for each in made._consumer.sought] == begun


async def test_a_partition_that_was_cut_is_sought_once_it_is_not_paused(
    read: Callable[[], tuple[Any, Held]],
) -> None:
    """As a resume may go back to where the pause was."""
    made, _ = read()
    made._assign(made._consumer, [TopicPartition("x", 1)])
    made.begin_anew(1)
    found = []
    for resting in (True, False):
        made._resting = resting
        await asyncio.to_thread(made._turn)
        found.append(len(made._consumer.sought))
    assert found == [0, 1]


async def test_a_record_of_before_an_assignment_is_dropped(
    read: Callable[[], tuple[Any, Held]],
) -> None:
    made, _ = read()
    consumer = made._consumer
    consumer.polled = [Record(1, []), Record(2, [])]
    assert [each.offset() for each in made._poll()] == [2]
    consumer.meanwhile = lambda: made._assign(consumer, [TopicPartition("x", 0)])
    assert made._poll() == []


# --- Transactions ---------------------------------------------------------------------------------


class Crash(BaseException):
    pass


def a_handled_run() -> Run:
    return Run(id=1, type="t", headers={"occurrence-id": b"j/1"})


def test_a_crash_within_a_transaction_of_sqlite_leaves_no_trace(tmp_path: Path) -> None:
    """Without a transaction of its own, the id would be there, and the run would count as done."""
    connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    connection.execute("CREATE TABLE effects (n INTEGER)")
    for fault in (Crash, None):
        try:
            with a_handled_run().transaction(connection):
                connection.execute("INSERT INTO effects VALUES (1)")
                if fault is not None:
                    raise fault
        except Crash:
            pass
    assert connection.execute("SELECT count(*) FROM effects").fetchone() == (1,)
    with pytest.raises(AlreadyDone), a_handled_run().transaction(connection):
        pass
    connection.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sqlite3 had no such attribute")
def test_a_transaction_of_sqlite_ends_with_autocommit(tmp_path: Path) -> None:
    connect: Any = sqlite3.connect
    connection = connect(tmp_path / "a.db", autocommit=True)
    with pytest.raises(Crash), a_handled_run().transaction(connection):
        raise Crash
    with a_handled_run().transaction(connection):
        pass
    assert not connection.in_transaction
    connection.close()


def test_pending_changes_share_the_fate_of_the_block(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("CREATE TABLE effects (n INTEGER)")
    connection.execute("INSERT INTO effects VALUES (1)")
    with pytest.raises(Crash), a_handled_run().transaction(connection):
        raise Crash
    assert connection.execute("SELECT count(*) FROM effects").fetchone() == (0,)
    connection.close()


class Driver:
    """A connection of another library than sqlite3."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.rowcount = 1

    def cursor(self) -> Driver:
        return self

    def execute(self, sentence: str, _: object = None) -> None:
        self.calls.append(sentence.partition(" ")[0])

    def commit(self) -> None:
        self.calls.append("commit")

    def rollback(self) -> None:
        self.calls.append("rollback")


class OfPsycopg(Driver):
    def __init__(self, *, autocommit: bool) -> None:
        super().__init__()
        self.autocommit = autocommit


class OfDjango(Driver):
    autocommit = False
    """Before it is connected. The method connects."""

    def get_autocommit(self) -> bool:
        return True


@pytest.mark.parametrize("connection", [Driver(), OfPsycopg(autocommit=True), OfDjango()])
def test_a_connection_that_commits_alone_is_refused(connection: Driver) -> None:
    with pytest.raises(WorkerError, match="autocommit"), a_handled_run().transaction(connection):
        pass
    assert connection.calls == []


def test_a_connection_commits_once() -> None:
    connection = OfPsycopg(autocommit=False)
    with a_handled_run().transaction(connection):
        pass
    assert connection.calls == ["CREATE", "INSERT", "commit"]


def test_a_commit_that_fails_leaves_nothing_to_the_next_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = OfPsycopg(autocommit=False)

    def busy() -> None:
        raise OSError("busy")

    monkeypatch.setattr(connection, "commit", busy)
    with pytest.raises(OSError, match="busy"), a_handled_run().transaction(connection):
        pass
    assert connection.calls == ["CREATE", "INSERT", "rollback"]


@pytest.mark.parametrize("of_session", [False, True])
def test_an_engine_that_commits_alone_is_refused(tmp_path: Path, of_session: bool) -> None:
    alone = create_engine(f"sqlite:///{tmp_path}/a.db", isolation_level="AUTOCOMMIT")
    usual = create_engine(f"sqlite:///{tmp_path}/a.db")
    made = [sessionmaker(each) if of_session else each for each in (alone, usual)]
    with pytest.raises(WorkerError, match="autocommit"), a_handled_run().transaction(made[0]):
        pass
    with a_handled_run().transaction(made[1]):
        pass
    with pytest.raises(AlreadyDone), a_handled_run().transaction(made[1]):
        pass
    for each in (alone, usual):
        each.dispose()


# --- Child processes ------------------------------------------------------------------------------


def call_later(child: Child, number: int, seconds: float) -> threading.Thread:
    """Send a signal to the child so long after its start."""

    def send() -> None:
        while child._process is None or child._process.pid is None:
            time.sleep(0.001)
        time.sleep(seconds)
        os.kill(child._process.pid, number)

    sender = threading.Thread(target=send)
    sender.start()
    return sender


@pytest.mark.parametrize("seconds", [0.02, 0.8])
def test_a_sigterm_of_the_process_group_leaves_a_child_at_work(seconds: float) -> None:
    """At its start too: an import takes longer than the first of these times."""
    child = Child()
    sender = call_later(child, signal.SIGTERM, seconds)
    assert child.call(pow, (2, 3), 60) == 8
    assert child.call(time.sleep, (1.0,), 60) is None
    sender.join()
    assert child.call(pow, (2, 4), 60) == 16
    child.kill()


def test_a_program_that_a_child_starts_can_be_terminated() -> None:
    child = Child()
    assert child.call(terminated_sleep, (), 60) == -signal.SIGTERM
    child.kill()


def terminated_sleep() -> int:
    program = subprocess.Popen(["sleep", "60"])
    program.terminate()
    return program.wait(10)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("stops", [False, True])
async def test_a_child_that_ends_while_the_worker_stops_leaves_its_run_open(
    monkeypatch: pytest.MonkeyPatch, stops: bool
) -> None:
    worker = Worker("w")
    worker.job("t", processes=True)(kill_itself)
    work = AtWork(worker, monkeypatch)
    work.receive(Record(0, [("occurrence-id", b"a")]))
    await asyncio.sleep(0)
    if stops:
        await work.engine.stop()
    else:
        async with asyncio.timeout(60):
            while not work.answers:
                await settle()
        await settle()  # Kafka confirms the answer a moment later
    assert [ended.error for _, ended in work.answers] == (
        [] if stops else ["ProcessEnded: The process of the run has ended with -9."]
    )
    assert work.ledger.committable == (0 if stops else 1)
    assert not work.faults
    work.engine._executor.close()


# --- Handlers in disguise -------------------------------------------------------------------------

worked: list[int] = []


async def work_later(run: Run) -> None:
    await asyncio.sleep(0)
    worked.append(run.id)


def wrapped(run: Run) -> Any:
    """As a decorator makes it that knows nothing of coroutines."""
    return work_later(run)


class Callee:
    async def __call__(self, run: Run) -> None:
        await work_later(run)


def generate(run: Run) -> Iterator[None]:
    worked.append(run.id)
    yield


async def generate_later(run: Run) -> AsyncIterator[None]:
    worked.append(run.id)
    yield


def wrapped_generator(run: Run) -> Any:
    return generate(run)


@pytest.mark.parametrize("function", [wrapped, Callee(), functools.partial(work_later)])
async def test_a_coroutine_function_in_disguise_does_its_work(function: Handler) -> None:
    worker = Worker("w")
    worker.job("t")(function)
    worked.clear()
    assert await worker.run_one(a_run()) == Ended()
    assert worked == [7]


async def test_the_time_of_a_job_holds_for_a_wrapped_coroutine() -> None:
    worker = Worker("w")

    @worker.job("t", timeout="50ms")
    def handle() -> Any:
        return asyncio.sleep(60)

    assert await worker.run_one(a_run()) == Ended("The run took longer than 50ms.")


@pytest.mark.parametrize(
    ("function", "processes", "sentence"),
    [
        (wrapped_generator, False, "generator"),
        (wrapped_generator, True, "generator"),
        (wrapped, True, "asynchronous"),
    ],
)
async def test_a_function_that_has_not_worked_has_failed(
    function: Handler, processes: bool, sentence: str
) -> None:
    worker = Worker("w")
    worker.job("t", processes=processes)(function)
    assert sentence in str((await worker.run_one(a_run())).error)


@pytest.mark.parametrize("function", [generate, generate_later])
def test_a_generator_is_refused(function: Handler) -> None:
    with pytest.raises(WorkerError, match="'t' is a generator"):
        Worker("w").job("t")(function)


def test_an_object_with_a_coroutine_goes_to_no_process() -> None:
    with pytest.raises(WorkerError, match="asynchronous"):
        Worker("w").job("t", processes=True)(Callee())


# --- Faults of the worker -------------------------------------------------------------------------


async def test_a_worker_beside_other_code_shows_its_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine, "Reader", FakeReader)
    monkeypatch.setattr(engine, "Answerer", FakeAnswerer)
    worker = Worker("w", kafka="127.0.0.1:1", group="of-a-test")
    worker.job("t")(work_later)
    seen = []
    with pytest.raises(WorkerError, match="no more"):
        async with worker:
            working: Any = worker._working
            for fault in (None, WorkerError("no more"), WorkerError("later")):
                if fault is not None:
                    working._engine.failed(fault)
                pages = working._all_pages()
                seen.append((worker.is_ready, pages["/livez"]()[0], pages["/readyz"]()[0]))
            rested = working._engine._reader.rested
    assert seen == [(True, 200, 200), (False, 503, 503), (False, 503, 503)]
    assert rested
    (told,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert told.getMessage() == "worker failed"
    assert vars(told)["reason"] == "no more"


async def test_a_worker_that_cannot_start_beside_other_code_can_start_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "Reader", FakeReader)
    monkeypatch.setattr(engine, "Answerer", FakeAnswerer)
    store = MemoryStore()
    worker = Worker("w", store=store, group="of-a-test")
    worker.job("t")(work_later)
    faults = [OSError("no disk")]

    def fails_once() -> None:
        if faults:
            raise faults.pop()

    monkeypatch.setattr(store, "open", fails_once)
    with pytest.raises(WorkerError, match="no disk"):
        await worker.__aenter__()
    assert not worker.is_ready
    async with worker:
        with pytest.raises(WorkerError, match="at work already"):
            await worker.__aenter__()
        assert worker.is_ready


# --- Copies, deadlines, commits -------------------------------------------------------------------


@pytest.mark.parametrize("stays", [False, True])
async def test_copies_of_a_run_that_is_given_up_are_not_forgotten(
    monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    worker = Worker("w")
    goes_on = asyncio.Event()

    @worker.job("t", concurrency=1)
    async def handle(run: Run) -> None:
        if run.id == 1:
            await goes_on.wait()

    work = AtWork(worker, monkeypatch)
    other = Ledger(1, 0)
    work.engine.assigned([other])
    work.receive(Record(0, [], partition=1))
    work.receive(Record(1, [("occurrence-id", b"a")]))
    work.receive(Record(2, [("occurrence-id", b"a")], partition=1 if stays else 0))
    await settle()
    assert await work.engine.released([0], 10) == {0: 1}
    assert work.engine._open_runs == (2 if stays else 1)
    goes_on.set()
    await settle()
    assert [run for run, _ in work.answers] == ([1, 3] if stays else [1])
    assert other.committable == (3 if stays else 1)
    assert work.engine._open_runs == 0


async def test_runs_that_end_together_are_noted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each before its answer; one without an occurrence id is not noted."""
    worker, store = Worker("w"), MemoryStore()
    worker.job("t", concurrency=2)(work_later)
    noted: list[list[str]] = []
    note = store.note

    def noting(ends: Mapping[str, str | None]) -> None:
        noted.append([*ends])
        assert not {name for _, name in told()} & ends.keys()
        note(ends)

    def told() -> list[tuple[int, str]]:
        return [(run, "abcd"[run - 1]) for run, _ in work.answers if run < 5]

    monkeypatch.setattr(store, "note", noting)
    work = AtWork(worker, monkeypatch, store)
    named = [Record(n, [("occurrence-id", name.encode())]) for n, name in enumerate("abcd")]
    work.receive(*named, Record(4, []))
    await settle()
    assert noted == [["a", "b"], ["c", "d"]]
    assert [run for run, _ in work.answers] == [1, 2, 3, 4, 5]
    assert work.ledger.committable == 5


async def test_a_run_after_its_deadline_is_closed_without_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = Worker("w")
    did: list[int] = []

    @worker.job("t", concurrency=1)
    async def handle(run: Run) -> None:
        did.append(run.id)

    work = AtWork(worker, monkeypatch)
    late = [("occurrence-id", b"a"), ("deadline", b"2020-01-01T00:00:00Z")]
    work.receive(
        Record(0, late),
        Record(1, late),
        Record(2, [("deadline", b"2020-01-01T00:00:00")]),  # no zone: UTC
        Record(3, [("deadline", b"2999-01-01T00:00:00Z")]),
        Record(4, [("deadline", b"soon")]),
    )
    await settle()
    assert did == [4, 5]
    assert [run for run, _ in work.answers] == [4, 5]
    assert work.figures.skipped["expired"] == 2
    assert 'runs_skipped_total{reason="expired"} 2' in work.figures.text()
    assert (work.ledger.committable, work.engine._open_runs, work.engine._active) == (5, 0, {})


async def test_an_offset_is_committed_until_kafka_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = Worker("w")
    worker.job("t")(work_later)
    work = AtWork(worker, monkeypatch)
    work.receive(Record(0, []))
    await settle()
    work.engine._commit()
    work.engine._commit()
    assert work.reader.commits == [{0: 1}, {0: 1}]
    work.engine.committed({0: 1, 9: 5})
    work.engine._commit()
    assert len(work.reader.commits) == 2


class Place(NamedTuple):
    """A partition in the result of a commit."""

    partition: int
    offset: int
    error: KafkaError | None


async def test_commits_of_partitions_that_stay_are_kept(
    read: Callable[[], tuple[Any, Held]],
) -> None:
    made, held = read()
    committed: list[dict[int, int]] = []

    def commit(offsets: list[TopicPartition], **_: object) -> None:
        committed.append({each.partition: each.offset for each in offsets})

    made._consumer.commit = commit
    made.commit({0: 5, 1: 7, 2: 9})
    made.commit({1: 8})
    await asyncio.to_thread(made._lose, None, [TopicPartition("x", 2)])
    made._commit_due()
    made._commit_due()
    assert committed == [{0: 5, 1: 8}]
    made._committed(None, [Place(0, 5, KafkaError(KafkaError._TIMED_OUT)), Place(1, 8, None)])
    await settle()
    assert held.confirmed == {1: 8}
