"""Golden vectors of the hot path: which bytes go in, and which come out.

`python -m tests.unit.hot_path` writes `hot_path.json` again. A change of a result is a change of
what is stored or published: look at each one before you commit the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from scheduling_client.wire import job_pb2
from scheduling_srv.domain.errors import RequestError
from scheduling_srv.domain.job import NewJob
from scheduling_srv.domain.validation import Rules, TopicLimit
from scheduling_srv.formats import job_record
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.changes import Change, pack
from scheduling_srv.formats.hot_path import Terms, accept
from scheduling_srv.formats.job_record import Note
from scheduling_srv.formats.kafka_records import RETRY, Headers, Record, Topic
from scheduling_srv.formats.layouts import (
    CREATE,
    DELETE,
    GROUP,
    HAND_ON,
    LISTED,
    MARK,
    NEW_NOW,
    PUT_OFF,
    QUEUE,
    TOMBSTONE,
)
from scheduling_srv.formats.outbox_entries import CREATED, GROUPED, KEYED, QUEUED, event_entry

FILE = Path(__file__).with_name("hot_path.json")
NOW = 1_700_000_000_000
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nvendor=1"
SMALL = Rules(max_items=2, max_job_bytes=400)
NARROW = Rules(kafka=TopicLimit())
NARROW.kafka.set(35_000, "jobs")
RULES = {"": Rules(), "small": SMALL, "narrow": NARROW}

Accept: TypeAlias = Callable[[bytes, Terms], Sequence[NewJob]]
Announce: TypeAlias = Callable[[Sequence[bytes], int, str, str, Headers], Iterator[Record]]
Vector: TypeAlias = dict[str, Any]


def announce(
    entries: Sequence[bytes], after: int, incarnation: str, recurring: str, deployment: Headers
) -> Iterator[Record]:
    """What the publisher does."""
    return Announcer(recurring, deployment).records(entries, after, incarnation)


# --- What goes in -------------------------------------------------------------------------------


def job(
    job_id: str = "a", *, creator: str = "me", timezone: str = "", **fields: Any
) -> job_pb2.Job:
    """A job with data."""
    data = job_pb2.Data(creator=creator, timezone=timezone)
    data.payload.add(type_url="payload", value=b'{"n":1}')
    return job_pb2.Job(id=job_id, **{"type": "t", "data": data, **fields})


def jobs() -> dict[str, Sequence[job_pb2.Job]]:
    """Lists by name."""
    backoff = job_pb2.Backoff(delay=1500.5, type=job_pb2.Backoff.EXPONENTIAL)
    long = job_pb2.Job(id="a", type="t", now=True, data=job_pb2.Data(creator="x" * 1000))
    return {
        "now": [job(now=True)],
        "instant": [job(when="2023-11-15T00:00:00.125Z")],
        "instant of an offset": [job(when="2023-11-15T02:00:00+02:00")],
        "instant of a zone": [job(when="2023-11-15T00:00:00", timezone="Europe/Berlin")],
        "relative instant": [job(when="in 2 hours")],
        "interval": [job(interval="90 seconds")],
        "cron": [job(interval="*/5 * * * *")],
        "cron of a zone": [job(interval="30 2 * * *", timezone="America/New_York")],
        "interval before when before now": [
            job(interval="1 hour", when="2023-11-15T00:00:00Z", now=True)
        ],
        "every priority": [job(f"p{rank}", now=True, priority=rank) for rank in (-15, -10, -5, 10)],
        "policy": [job(now=True, attempts=5, backoff=backoff, parallel=3)],
        "policy without attempts": [job(now=True, attempts=1, parallel=2**32 - 1)],
        "no creator": [job(creator="", now=True)],
        "creator that stands in the zone": [job(creator="UTC", timezone="UTC", now=True)],
        "no texts but Unicode": [job("ß→😀", type="тип", creator="créateur", now=True)],
        "long creator": [long],
        "several": [job("a", now=True), job("b", interval="1 day"), job("c", when="in 1 minute")],
        "no jobs": [],
    }


def faulty() -> dict[str, Sequence[job_pb2.Job]]:
    """Lists that are refused."""
    return {
        "no type": [job(type="", now=True)],
        "no data": [job_pb2.Job(id="a", type="t", now=True)],
        "no schedule": [job()],
        "elapsed": [job(when="2023-11-14T20:00:00Z")],
        "no instant": [job(when="whenever")],
        "no interval": [job(interval="99 * * * *")],
        "too fast": [job(interval="5 ms")],
        "no zone": [job(now=True, timezone="Mars/Olympus")],
        "no priority": [job(now=True, priority=7)],
        "no backoff": [job(now=True, backoff=job_pb2.Backoff(type=9))],  # type: ignore[arg-type]
        "negative delay": [job(now=True, backoff=job_pb2.Backoff(delay=-1))],
        "unprintable id": [job("a\nb", now=True)],
        "long id": [job("x" * 4097, now=True)],
        "second of two": [job("a", now=True), job("b", type="", now=True)],
    }


def large(size: int) -> job_pb2.Job:
    """A job with a payload of `size` bytes."""
    data = job_pb2.Data()
    data.payload.add(value=b"x" * size)
    return job_pb2.Job(id="a", type="t", data=data, now=True)


def listed(item: bytes) -> bytes:
    """A JobList of one item of less than 128 bytes."""
    return b"\x0a" + bytes((len(item),)) + item


BARE = b"\x5a\x01t\xb0\x01\x01"
"""Type and `now`."""
RAW = {
    "unknown field of the job": listed(b"\x0a\x01a\x62\x04\x12\x02me" + BARE + b"\xc2\x3e\x01z"),
    "unknown field of the data": listed(b"\x0a\x01a\x62\x08\x12\x02me\xc2\x3e\x01z" + BARE),
    "fields in another order": listed(BARE + b"\x62\x04\x12\x02me\x0a\x01a"),
    "the last of two ids counts": listed(b"\x0a\x01a\x0a\x01b\x62\x04\x12\x02me" + BARE),
    "data in two parts": listed(b"\x0a\x01a\x62\x02\x0a\x00\x62\x04\x12\x02me" + BARE),
    "wrong wire type of the list": b"\x08\x01",
    "wrong wire type of the job": listed(b"\x08\x01\x62\x00" + BARE),
    "wrong wire type of the data": listed(b"\x0a\x01a\x62\x02\x08\x01" + BARE),
    "wrong wire type of the backoff": listed(b"\x0a\x01a\x62\x00\x7a\x02\x08\x01" + BARE),
    "truncated": b"\x0a\x05\x0a\x01a",
    "not UTF-8": listed(b"\x0a\x01\xff\x62\x00" + BARE),
}
"""Lists as bytes that no client of ours writes."""


def accepted() -> Iterator[Vector]:
    """The arguments of each vector of `accept`."""
    for name, items in {**jobs(), **faulty()}.items():
        yield _accepted(name, job_pb2.JobList(items=items).SerializeToString())
    for name, raw in RAW.items():
        yield _accepted(name, raw)
    one = job_pb2.JobList(items=[job(now=True)]).SerializeToString()
    yield _accepted("trace", one, trace=TRACE)
    three = job_pb2.JobList(items=[job(str(n), now=True) for n in range(3)]).SerializeToString()
    yield _accepted("too many", three, rules="small")
    for size, rules in ((300, "small"), (500, "small"), (500, "narrow")):
        raw = job_pb2.JobList(items=[large(size)]).SerializeToString()
        yield _accepted(f"{size} bytes, {rules}", raw, rules=rules)
    for when in ("2023-11-14T20:00:00Z", "in 5 minutes", "2023-11-15T00:00:00Z"):
        raw = job_pb2.JobList(items=[job(when=when)]).SerializeToString()
        for note in (Note.NONE, Note.UPDATED):
            yield _accepted(f"{when}, replacing with {note.value}", raw, replacing=note.value)


def _accepted(
    name: str, raw: bytes, *, rules: str = "", replacing: int | None = None, trace: bytes = b""
) -> Vector:
    return {
        "name": name,
        "raw": raw.hex(),
        "rules": rules,
        "replacing": replacing,
        "trace": trace.hex(),
    }


def entries() -> dict[str, Sequence[bytes]]:
    """Entries of the outbox by name, as Lua writes them."""
    (plain,) = accept(job_pb2.JobList(items=[job(now=True)]).SerializeToString(), Terms(NOW))
    record = (7).to_bytes(6, "little") + plain.record[6:]
    traced_list = job_pb2.JobList(items=[job("ß", interval="1 day")]).SerializeToString()
    (traced,) = accept(traced_list, Terms(NOW, trace=TRACE))
    put = Change(1, put=[NewJob("b", NOW, record)], places=[1])
    parcel = (3).to_bytes(8, "little") + pack(put)
    retry = RETRY.pack(7, NOW, 2, NOW + 5)
    answer = event_entry(Topic.COMMANDS, b"restoreResponse", b"{}")
    letter = event_entry(
        Topic.DEAD_LETTER, b"k", b"v", [("status", b"INTERNAL"), ("r", "ß".encode())]
    )
    ended = event_entry(
        Topic.RESOURCES, b"jobsDeleted", b"\x0a\x01a", [("job-id", b"a"), ("outcome", b"done")]
    )
    old, new = letter_of(DELETE) + b"a", created(CREATE, b"a", NOW, record)
    return {
        **{f"run of kind {kind}": [queued(kind, 2 ** (9 * kind))] for kind in range(4)},
        "run with a trace": [queued(2, 7, trace=TRACE)],
        "run with a parent alone": [queued(2, 7, trace=TRACE.partition(b"\n")[0])],
        "run with large data": [queued(1, 2**32 - 1, data=b"\xac\x02" + bytes(300))],
        "job": [new],
        "job with a trace": [created(CREATE, "ß".encode(), traced.due, traced.record)],
        "job of now": [created(NEW_NOW, b"a", NOW, record)],
        "deleted": [old],
        "gone": [letter_of(TOMBSTONE) + b"a"],
        "retry": [keyed(PUT_OFF, b"a\x007\x00" + str(NOW).encode(), retry)],
        "parcel": [keyed(HAND_ON, b"\x00parcel\x00name", parcel)],
        "piece of a list": [keyed(LISTED, b"\x00list\x00token\x001", b"piece")],
        "answer of a command": [answer],
        "dead letter": [letter],
        "ended": [ended],
        "marker": [letter_of(MARK) + b"{}", new],
        "replaced in a group": [group(2), old, new, old],
        "moved in a group": [
            group(2),
            letter_of(DELETE) + b"b",
            keyed(HAND_ON, b"\x00parcel\x00n", parcel),
        ],
    }


def letter_of(letter: int) -> bytes:
    """The first byte of an entry."""
    return bytes((letter,))


def queued(
    kind: int, instance: int, *, trace: bytes = b"", data: bytes = b"\x04\x12\x02me"
) -> bytes:
    """An entry of a run."""
    fixed = QUEUED.pack(kind, instance, NOW + 125, 3, 2**40, 1, len(trace), 2, len(data))
    return letter_of(QUEUE) + fixed[1:] + b"a" + b"\x01t" + data + trace


def queued_of(job: NewJob, instance: int) -> bytes:
    """The entry that Lua makes of a run of this job."""
    head, at = job_record.header(job.record), job_record.body_at(job.record)
    sizes = (len(job.id.encode()), head.trace_size, head.type_size, head.data_size)
    fixed = QUEUED.pack(head.kind, instance, job.due, 1, head.seq, *sizes)
    body = job.record[at : at + head.type_size + head.data_size]
    trace = job.record[len(job.record) - head.trace_size :]
    return letter_of(QUEUE) + fixed[1:] + job.id.encode() + body + trace


def created(letter: int, job_id: bytes, due: int, record: bytes) -> bytes:
    """An entry of a new job."""
    return letter_of(letter) + CREATED.pack(due, len(job_id))[1:] + job_id + record


def keyed(letter: int, key: bytes, value: bytes) -> bytes:
    """An entry that is kept in the journal."""
    return letter_of(letter) + KEYED.pack(len(key))[1:] + key + value


def group(size: int) -> bytes:
    """The head of a group."""
    return letter_of(GROUP) + GROUPED.pack(size)[1:]


def announced() -> Iterator[Vector]:
    """The arguments of each vector of `announce`."""
    for name, each in entries().items():
        given = {"entries": [entry.hex() for entry in each]}
        yield {"name": name, **given, "recurring": "RECURR", "deployment": ""}
        if name.startswith("run"):
            of = {"recurring": "RECCUR", "deployment": "0123456789ab"}
            yield {"name": f"{name}, of a deployment", **given, **of}


# --- What comes out -----------------------------------------------------------------------------


def result_of_accept(function: Accept, vector: Vector) -> object:
    """Ids, due times and records, or the error."""
    note = vector["replacing"]
    terms = Terms(
        NOW,
        RULES[vector["rules"]],
        None if note is None else Note(note),
        bytes.fromhex(vector["trace"]),
    )
    try:
        found = function(bytes.fromhex(vector["raw"]), terms)
    except RequestError as fault:
        violations = [[each.field, each.description] for each in fault.violations]
        return [type(fault).__name__, str(fault), violations]
    return [[each.id, each.due, each.record.hex()] for each in found]


def result_of_announce(function: Announce, vector: Vector) -> object:
    """The records, bytes as hexadecimal digits."""
    name = vector["deployment"]
    headers: Headers = [("deployment", name.encode())] if name else []
    given = [bytes.fromhex(entry) for entry in vector["entries"]]
    found = function(given, 40, "inc", vector["recurring"], headers)
    return [_shown(record) for record in found]


def _shown(record: Record) -> object:
    value = None if record.value is None else record.value.hex()
    headers = [[name, text.hex()] for name, text in record.headers]
    return [str(record.topic), record.key.hex(), value, headers, record.route.hex()]


def made() -> dict[str, list[Vector]]:
    """All vectors with the results of today."""
    return {
        "accept": [{**each, "result": result_of_accept(accept, each)} for each in accepted()],
        "announce": [
            {**each, "result": result_of_announce(announce, each)} for each in announced()
        ],
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(made(), indent=1, ensure_ascii=False) + "\n")
