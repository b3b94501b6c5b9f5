"""The parts of the worker kit that need no server."""

import asyncio
import json
import logging
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import msgspec
import pydantic
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import create_engine, text

from scheduling_client.cli.app import run as command
from scheduling_client.testing import a_run as a_user_run
from scheduling_client.testing import run_one
from scheduling_client.worker import (
    AlreadyDone,
    Data,
    Discard,
    Ended,
    Item,
    MemoryStore,
    Retry,
    Run,
    SQLiteStore,
    Worker,
    WorkerError,
)
from scheduling_client.worker.answers import failed
from scheduling_client.worker.errors import PayloadError
from scheduling_client.worker.jobs import arguments_of
from scheduling_client.worker.json_objects import convert
from scheduling_client.worker.ledger import Ledger
from scheduling_client.worker.logs import Json
from scheduling_client.worker.payloads import reader
from scheduling_client.worker.processes import Child
from scheduling_client.worker.tracing import Spans
from scheduling_client.worker.transactions import create_table_sql

Capture = pytest.CaptureFixture[str]


class Colour(Enum):
    RED = "red"


@dataclass
class Line:
    price: Decimal
    count: int = 1


@dataclass
class Order:
    day: date
    lines: list[Line]
    colour: Colour | None = None
    notes: dict[str, str] = field(default_factory=dict)
    kind: Literal["a", "b"] = "a"


class Model(pydantic.BaseModel):
    number: int


class Struct(msgspec.Struct):
    number: int


def a_run(payload: object = None, **headers: str) -> Run:
    item = Item("", payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    encoded = {name.replace("_", "-"): value.encode() for name, value in headers.items()}
    return Run(id=7, type="t", headers=encoded, data=Data((item,)))


# --- Runs and payloads --------------------------------------------------------------------------


def test_a_run_tells_its_headers() -> None:
    run = a_run(
        job_id="j",
        occurrence_id="j/1/5/2",
        nominal_time="2027-01-02T03:04:05.678Z",
        attempt="2",
        labels='{"a": "b"}',
    )
    assert (run.job_id, run.run_id, run.attempt, run.attempts) == ("j", "j/1/5", 2, None)
    assert run.nominal_time == datetime(2027, 1, 2, 3, 4, 5, 678_000, UTC)
    assert (run.labels, run.deadline, run.origin) == ({"a": "b"}, None, "schedule")
    assert "payload" not in repr(run)


def test_a_run_goes_to_a_child_process() -> None:
    again = pickle.loads(pickle.dumps(a_run(b"x", job_id="j")))  # noqa: S301 - it is ours
    assert (again.job_id, again.payload) == ("j", (Item("", b"x"),))


@pytest.mark.parametrize(
    ("wanted", "value", "expected"),
    [
        (bytes, b"\xff", b"\xff"),
        (str, b"a", "a"),
        (int, b"1", 1),
        (dict, b'{"a": 1}', {"a": 1}),
        (Any, b"[1]", [1]),
        (Model, b'{"number": 1}', Model(number=1)),
        (Struct, b'{"number": 1}', Struct(1)),
        (Timestamp, b"\x08\x01", Timestamp(seconds=1)),
        (list[str], b"a", ["a"]),
        (list[list[int]], b"[1]", [[1]]),
        (str | None, b"a", "a"),
        (Order, b'{"day": "2027-01-02", "lines": []}', Order(date(2027, 1, 2), [])),
    ],
)
def test_a_payload_becomes_its_annotation(wanted: Any, value: bytes, expected: object) -> None:
    assert reader(wanted)([Item("", value)]) == expected


@pytest.mark.parametrize(
    ("wanted", "value", "sentence"),
    [
        (str, b"\xff", "payload is not UTF-8."),
        (int, b"secret", "payload is not JSON."),
        (int, b'"secret"', "payload is not a whole number."),
        (int, b"true", "payload is not a whole number."),
        (Model, b'{"number": "secret"}', "payload.number: int_parsing."),
        (Struct, b'{"number": "secret"}', "payload.number does not fit Struct."),
        (Timestamp, b"secret", "payload is not a google.protobuf.Timestamp."),
        (Order, b'{"day": "secret", "lines": []}', "payload.day is not a date."),
        (Order, b'{"day": "2027-01-02"}', "payload.lines is missing."),
        (
            Order,
            b'{"day": "2027-01-02", "lines": [{"price": "secret"}]}',
            "payload.lines[0].price is not a Decimal.",
        ),
    ],
)
def test_a_payload_that_does_not_fit_is_told_without_its_value(
    wanted: Any, value: bytes, sentence: str
) -> None:
    with pytest.raises(PayloadError) as raised:
        reader(wanted)([Item("", value)])
    assert str(raised.value) == sentence


def test_the_number_of_payloads_has_to_fit() -> None:
    two = [Item("", b"1"), Item("", b"2")]
    assert reader(list[int])(two) == [1, 2]
    assert reader(int | None)([]) is None
    for items in ([], two):
        with pytest.raises(PayloadError, match=f"has {len(items)} payload items"):
            reader(int)(items)


@pytest.mark.parametrize(
    ("wanted", "value", "made"),
    [
        (float, 1, 1.0),
        (tuple[int, str], [1, "a"], (1, "a")),
        (tuple[int, ...], [1, 2], (1, 2)),
        (set[int], [1, 1], {1}),
        (Sequence[int], [1], [1]),
        (Mapping[str, int], {"a": 1}, {"a": 1}),
        (int | str, "a", "a"),
        (Colour, "red", Colour.RED),
        (Decimal, 1.5, Decimal("1.5")),
    ],
)
def test_json_becomes_objects(wanted: Any, value: object, made: object) -> None:
    assert convert(value, wanted) == made


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        (tuple[int, str], [1]),
        (Colour, "blue"),
        (Literal["a"], "b"),
        (int | str, []),
        (dict[str, int], []),
        (complex, 1),
        (None, 1),
    ],
)
def test_json_that_does_not_fit_is_refused(wanted: Any, value: object) -> None:
    with pytest.raises(PayloadError, match="^payload"):
        convert(value, wanted)


def both(payload: int, run: Run) -> None: ...
def turned(run: Run, payload: int) -> None: ...
def bare(payload) -> None: ...
def named(run) -> None: ...
def with_default(payload: int, more: int = 1) -> None: ...
def too_many(a: int, b: int) -> None: ...
def keyword(*, a: int) -> None: ...


def test_a_function_gets_the_arguments_of_its_annotations() -> None:
    run = a_run(5)
    assert arguments_of(both)(run) == (5, run)
    assert arguments_of(turned)(run) == (run, 5)
    assert arguments_of(bare)(run) == (5,)
    assert arguments_of(named)(run) == (run,)
    assert arguments_of(with_default)(run) == (5,)
    assert arguments_of(lambda: None)(run) == ()


@pytest.mark.parametrize("function", [too_many, keyword])
def test_a_function_that_cannot_be_called_is_refused(function: Callable[..., None]) -> None:
    with pytest.raises(WorkerError):
        arguments_of(function)


# --- Ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ended", [Ended(), Ended("a"), Ended("a", 5), Ended("a\x1fb", final=True), Ended("")]
)
def test_stores_keep_how_a_run_ended(ended: Ended) -> None:
    assert Ended.from_store(ended.to_store()) == ended


def test_an_error_is_short() -> None:
    assert failed(ValueError("a\nb")).error == "ValueError: a"
    assert failed(ValueError()).error == "ValueError"
    assert len((failed(ValueError("ä" * 2000)).error or "").encode()) <= 1024


async def test_run_one_tells_how_a_run_ended() -> None:
    worker = Worker("w")
    raised: list[BaseException] = []

    @worker.job("t")
    async def handle(_: int) -> None:
        if raised:
            raise raised.pop()

    assert await worker.run_one(a_run(1)) == Ended()
    assert (await worker.run_one(a_run("x"))).final
    for fault, ended in [
        (ValueError("a"), Ended("ValueError: a")),
        (Retry("a", after=timedelta(seconds=2)), Ended("a", 2000)),
        (Discard("a"), Ended("a", final=True)),
        (AlreadyDone(), Ended()),
        (asyncio.CancelledError(), Ended("CancelledError")),
        (TimeoutError(), Ended("TimeoutError")),
    ]:
        raised.append(fault)
        assert await worker.run_one(a_run(1)) == ended


def test_a_retry_needs_a_duration() -> None:
    with pytest.raises(ValueError, match="after: 'soon' is not a duration"):
        Retry(after="soon")


@pytest.mark.parametrize(
    ("declare", "sentence"),
    [
        (lambda w: w.job("a", concurrency=0)(bare), "at least 1"),
        (lambda w: w.job("a", timeout="soon")(bare), "timeout of 'a': 'soon' is not a duration"),
        (lambda w: [w.job("a")(bare), w.job("a")(bare)], "Two functions"),
        (lambda w: w.every("soon")(named), "interval"),
        (lambda w: w.cron("0 0 30 2 *")(named), "never"),
        (lambda w: w.cron("@daily", timezone="Mars/Base")(named), "Mars/Base"),
        (lambda w: w.run(), "has no jobs"),
        (lambda w: Worker(""), "needs a name"),
    ],
)
def test_a_mistake_is_told_at_once(declare: Callable[[Worker], Any], sentence: str) -> None:
    with pytest.raises((WorkerError, ValueError), match=sentence):
        declare(Worker("w"))


# --- Offsets ------------------------------------------------------------------------------------


def test_offsets_before_the_first_open_run_can_be_committed() -> None:
    ledger = Ledger(0, 5)
    assert ledger.committable == 5
    for offset in (5, 7, 8):
        ledger.begin(offset)
    ledger.position = 10
    ledger.end(7)
    assert ledger.committable == 5
    ledger.end(5)
    assert ledger.committable == 8
    ledger.end(8)
    assert ledger.committable == 10


def test_a_run_that_is_given_up_keeps_its_offset_open() -> None:
    ledger = Ledger(0, 0)
    ledger.begin(0)
    ledger.position = 1
    idle = [ledger.is_idle]
    ledger.give_up()
    idle.append(ledger.is_idle)
    assert idle == [False, True]
    assert ledger.committable == 0


def test_runs_that_the_scan_has_seen_answered_are_known() -> None:
    ledger = Ledger(0, 0, 100, frozenset({7}))
    assert ledger.was_answered(50, 6)
    assert not ledger.was_answered(50, 7)
    assert not ledger.was_answered(100, 6)


# --- Stores -------------------------------------------------------------------------------------


def test_a_store_keeps_the_ends(tmp_path: Path) -> None:
    for store in (MemoryStore(), SQLiteStore(tmp_path / "a.sqlite")):
        store.open()
        store.note({"a": None, "b": "error"})
        store.note({"a": "later"})
        assert store.known(["a", "b", "c"]) == {"a": "later", "b": "error"}
        store.close()
    again = SQLiteStore(tmp_path / "a.sqlite")
    assert again.known(["b"]) == {"b": "error"}
    again.close()


def test_the_store_in_memory_has_a_bound() -> None:
    store = MemoryStore(most=4)
    for each in "abcdefg":
        store.note({each: None})
    assert set(store.known("abcdefg")) == {"e", "f", "g"}
    assert list(store.known("gx")) == ["g"]


def test_a_transaction_happens_once_for_a_run(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/a.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE effects (n INTEGER)"))
    run = a_run(occurrence_id="j/1/2/1")

    def work(*, fails: bool = False) -> None:
        with run.transaction(engine) as connection:
            connection.execute(text("INSERT INTO effects VALUES (1)"))
            if fails:
                raise ValueError("undone")

    with pytest.raises(ValueError, match="undone"):
        work(fails=True)
    work()
    with pytest.raises(AlreadyDone):
        work()
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM effects")).scalar() == 1
    engine.dispose()


def test_a_transaction_of_a_plain_connection(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("CREATE TABLE effects (n INTEGER)")
    run = a_run(occurrence_id="j/1/2/1")
    for _ in range(2):
        try:
            with run.transaction(connection, table="mine") as open_one:
                open_one.execute("INSERT INTO effects VALUES (1)")
        except AlreadyDone:
            pass
    assert connection.execute("SELECT count(*) FROM effects").fetchone() == (1,)
    connection.close()


def test_a_table_has_a_name() -> None:
    with pytest.raises(WorkerError, match="not the name of a table"):
        create_table_sql("a; DROP TABLE b")


def test_a_transaction_needs_an_occurrence() -> None:
    with (
        pytest.raises(WorkerError, match="no occurrence-id"),
        a_run().transaction(None),
    ):
        pass


# --- Processes, logs, command line --------------------------------------------------------------


def end_process(code: int) -> None:
    raise SystemExit(code)


def test_a_child_that_ends_is_replaced() -> None:
    child = Child()
    with pytest.raises(ValueError, match="invalid literal"):
        child.call(int, ("x",), 60)
    assert child.call(int, ("5",), 60) == 5
    child.kill()
    assert child.call(int, ("6",), 60) == 6
    child.kill()


def test_a_log_line_is_json() -> None:
    record = logging.makeLogRecord({"msg": "run failed", "type": "t", "levelname": "WARNING"})
    line = json.loads(Json().format(record))
    assert (line["event"], line["level"], line["type"]) == ("run failed", "warning", "t")
    assert set(line) == {"time", "level", "event", "type"}


def test_a_new_worker_can_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(["worker", "new", "myjobs.py"]) == 0
    assert "scheduling worker myjobs:worker" in capsys.readouterr().out
    assert command(["worker", "new", "myjobs.py"]) == 4
    assert command(["worker", "new", "my-jobs.py"]) == 2
    made: dict[str, Any] = {"__name__": "myjobs"}
    exec(compile(Path("myjobs.py").read_text(), "myjobs.py", "exec"), made)  # noqa: S102 - ours
    assert set(made["worker"].jobs) == {"greet", "myjobs.tick"}


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("nope:worker", "There is no module 'nope' here."),
        ("json", "not a module and a variable"),
        ("json:loads", "json has no Worker of the name 'loads'."),
    ],
)
def test_a_worker_that_is_not_there(target: str, sentence: str, capsys: Capture) -> None:
    assert command(["worker", target]) == 2
    assert sentence in capsys.readouterr().err


def test_handlers_are_tested_without_kafka() -> None:
    """By the function, and by the fixture of the same name, in a test suite of a user."""
    worker = Worker("w")
    seen: list[Any] = []

    @worker.job("t", concurrency=2)
    def handle(payload: dict[str, int], run: Run) -> None:
        seen.append((payload, run.attempt, run.attempts, run.labels, run.job_id))

    ended = run_one(worker, "t", {"a": 1}, attempt=2, attempts=3, labels={"k": "v"}, job_id="j")
    assert ended == Ended()
    assert seen == [({"a": 1}, 2, 3, {"k": "v"}, "j")]
    assert a_user_run("t", Timestamp(seconds=1)).payload[0].value == b"\x08\x01"
    with pytest.raises(WorkerError, match="no jobs of the type 'other'"):
        run_one(worker, "other")


SUITE = """
from scheduling_client import Worker

pytest_plugins = ["scheduling_client.testing"]
worker = Worker("w")


@worker.job("t")
async def handle(payload: int) -> None: ...


def test_it(run_one):
    assert run_one(worker, "t", 5).error is None
    assert run_one(worker, "t", "x").final
"""


def test_the_fixture_of_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, text=True)
    assert "1 passed" in ended.stdout, ended.stdout


def test_a_span_is_linked_to_the_trace_of_the_job() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = Spans("w")
    spans._tracer = provider.get_tracer("test")
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    run = a_run(traceparent=f"00-{trace_id}-b7ad6b7169203331-01", occurrence_id="j/1/2/1")
    with spans.of(run) as span:
        span.end(Ended("no paper"))
    (found,) = exporter.get_finished_spans()
    assert [f"{link.context.trace_id:032x}" for link in found.links] == [trace_id]
    assert found.status.description == "no paper"
    assert not Spans("w").are_on
