"""From entries of the outbox to records, byte for byte (docs/contract.md)."""

import json
import struct
from typing import Any

import pytest

from scheduling_client.schedules.when import rfc3339
from scheduling_client.wire import job_pb2
from scheduling_srv.app.deployments.deployment import Deployment, Identity
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.job_record import job_message
from scheduling_srv.formats.kafka_records import Record, Topic
from scheduling_srv.formats.outbox_entries import event_entry, nominal_time, occurrence_id
from scheduling_srv.formats.position_record import Position, advance
from tests.store.shard import job

NOMINAL = 1_700_000_000_123
GOLDEN = bytes.fromhex("08071201741a0f0a01781201791a070a017512027b7d2206524543435552")
"""ScheduledJob{7, "t", data{x, y, payload{u,"{}"}}, RECCUR} (docs/contract.md)."""
DATA = bytes.fromhex("0a01781201791a070a017512027b7d")
PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def queued(
    kind: TriggerKind, instance: int = 7, attempt: int = 1, trace: bytes = b"", job_id: str = "j"
) -> bytes:
    """As the Lua of decision 1 packs it."""
    type_part, data_part, name = b"\x01t", b"\x0f" + DATA, job_id.encode()
    sizes = (len(name), len(trace), len(type_part), len(data_part))
    head = struct.pack("<cBIQIQHHHI", b"Q", kind, instance, NOMINAL, attempt, 9, *sizes)
    return head + name + type_part + data_part + trace


def made(*entries: bytes, recurring: str = "RECURR") -> list[Record]:
    return list(Announcer(recurring).records(entries, 40, "inc"))


def test_a_run_says_which_deployment_has_emitted_it() -> None:
    """It is known only after the announcer was made."""
    deployment = Deployment()
    announcer = Announcer(deployment=deployment.headers)
    deployment.be(Identity("0123456789ab", "fingerprint"))
    (record,) = announcer.records([queued(TriggerKind.NOW)], 40, "inc")
    assert headers(record)["deployment"] == b"0123456789ab"
    assert "deployment" not in headers(made(queued(TriggerKind.NOW))[0])


def headers(record: Record) -> dict[str, bytes]:
    return dict(record.headers)


def test_a_queued_job_is_the_golden_message() -> None:
    (record,) = made(queued(TriggerKind.INTERVAL), recurring="RECCUR")
    assert (record.topic, record.key, record.value) == (Topic.JOBS, b"queuedJob", GOLDEN)
    assert record.route == b"j"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (TriggerKind.NOW, "NOW"),
        (TriggerKind.ONCE, "ONCE"),
        (TriggerKind.INTERVAL, "RECURR"),
        (TriggerKind.CRON, "RECURR"),
    ],
)
def test_the_schedule_type(kind: TriggerKind, name: str) -> None:
    (record,) = made(queued(kind))
    assert job_pb2.ScheduledJob.FromString(record.value or b"").schedule_type == name


@pytest.mark.parametrize("instance", [1, 127, 128, 300, 2**31, 2**32 - 1])
def test_instance_ids_of_all_sizes(instance: int) -> None:
    (record,) = made(queued(TriggerKind.NOW, instance))
    assert job_pb2.ScheduledJob.FromString(record.value or b"").id == instance


def test_headers_of_a_queued_job() -> None:
    """Those of the table in docs/contract.md."""
    first, again = made(
        queued(TriggerKind.CRON, trace=PARENT + b"\nvendor=1", job_id="é/1"),
        queued(TriggerKind.CRON, attempt=2, trace=PARENT),
    )
    assert first.headers == [
        ("occurrence-id", "é/1/9/1700000000123/1".encode()),
        ("job-id", "é/1".encode()),
        ("nominal-time", b"2023-11-14T22:13:20.123Z"),
        ("attempt", b"1"),
        ("event-id", b"inc-41"),
        ("traceparent", PARENT),
        ("tracestate", b"vendor=1"),
    ]
    assert headers(again)["attempt"] == b"2"
    assert headers(again)["event-id"] == b"inc-42"
    assert headers(again)["traceparent"] == PARENT
    assert "tracestate" not in headers(again)


def test_no_trace_no_headers() -> None:
    (record,) = made(queued(TriggerKind.ONCE))
    assert list(headers(record))[-1] == "event-id"


def created(letter: bytes) -> tuple[bytes, bytes]:
    stored = job("j", TriggerKind.ONCE, NOMINAL, creator="c", trace=PARENT).record
    return struct.pack("<cQH", letter, NOMINAL, 1) + b"j" + stored, stored


def test_a_created_job_goes_to_its_topic_and_to_the_journal() -> None:
    entry, stored = created(b"C")
    event, journal = made(entry)
    assert (event.topic, event.key) == (Topic.RESOURCES, b"jobsCreated")
    assert event.value == job_message(b"j", stored)
    assert job_pb2.Job.FromString(event.value or b"").data.creator == "c"
    assert headers(event) == {
        "event-id": b"inc-41",
        "job-id": b"j",
        "nominal-time": b"2023-11-14T22:13:20.123Z",
    }
    assert (journal.topic, journal.key) == (Topic.JOURNAL, b"j")
    assert journal.value == struct.pack("<Q", NOMINAL) + stored
    assert headers(journal) == {"kind": b"job", "event-id": b"inc-41-j"}
    assert event.route == journal.route == b"j"


def test_a_now_job_goes_to_the_journal_only() -> None:
    (journal,) = made(created(b"N")[0])
    assert (journal.topic, journal.key) == (Topic.JOURNAL, b"j")


def test_a_deleted_job_is_the_golden_message_and_a_tombstone() -> None:
    event, tombstone = made(b"Dabc:12")
    assert (event.topic, event.key) == (Topic.RESOURCES, b"jobsDeleted")
    assert event.value == bytes.fromhex("0a066162633a3132")
    assert (tombstone.topic, tombstone.key, tombstone.value) == (Topic.JOURNAL, b"abc:12", None)


def test_a_deleted_event_says_whether_the_job_was_replaced() -> None:
    group = struct.pack("<cI", b"G", 2)
    update = [group, b"Dj", created(b"C")[0]]
    events = [each for each in made(*update, b"Dj", b"Dk") if each.key == b"jobsDeleted"]
    outcomes = [(event.route, headers(event)["outcome"]) for event in events]
    assert outcomes == [(b"j", b"replaced"), (b"j", b"deleted"), (b"k", b"deleted")]


def test_a_tombstone_alone() -> None:
    (record,) = made(b"Xabc")
    assert (record.topic, record.key, record.value) == (Topic.JOURNAL, b"abc", None)


def test_a_retry_is_in_the_journal_under_a_key_of_its_own() -> None:
    key = b"j\x009\x001700"
    (record,) = made(struct.pack("<cH", b"R", len(key)) + key + b"body")
    assert (record.topic, record.key, record.value) == (Topic.JOURNAL, key, b"body")
    assert headers(record)["kind"] == b"retry"


def test_a_jobs_deleted_event_with_an_outcome_goes_to_the_partition_of_its_job() -> None:
    """Before, its partition was that of its key."""
    outcome = [("job-id", b"j"), ("outcome", b"refused")]
    deleted = event_entry(Topic.RESOURCES, b"jobsDeleted", b"\n\x01j", outcome)
    plain = b"Dj"
    assert [record.route for record in made(deleted, plain)][:2] == [b"j", b"j"]


def test_events_of_commands_and_dead_letters() -> None:
    response = event_entry(Topic.COMMANDS, b"resetResponse", b"\x00value")
    letter = event_entry(Topic.DEAD_LETTER, b"", b"", [("reason", 'é\n"'.encode())])
    first, second = made(response, letter)
    assert (first.topic, first.key, first.value) == (
        Topic.COMMANDS,
        b"resetResponse",
        b"\x00value",
    )
    assert first.headers == [("event-id", b"inc-41")]
    assert (second.topic, second.key, second.value) == (Topic.DEAD_LETTER, b"", b"")
    assert second.headers == [("reason", 'é\n"'.encode()), ("event-id", b"inc-42")]


def test_markers_are_numbered_but_become_nothing() -> None:
    (record,) = made(b"M{}", b"Xabc", b"M{}")
    assert headers(record)["event-id"] == b"inc-42-j"


def test_without_a_marker_only_the_number_changes() -> None:
    before = Position(40, "inc", at=1, replay_from=2, seq=3, instance=4, inputs={"t": 5})
    after = advance(before, [b"Xa", b"Xb"], 40)
    assert after == Position(42, "inc", at=1, replay_from=2, seq=3, instance=4, inputs={"t": 5})


def marker(**more: Any) -> bytes:
    numbers = {"replay_from": "2", "seq": "3", "instance": "4", "reset": "5", "cleared": "6"}
    return b"M" + json.dumps(numbers | more, separators=(",", ":")).encode()


def test_each_marker_says_what_has_moved() -> None:
    """The last one counts, but for the positions: each says only those that it moves."""
    before = Position(40, "inc", inputs={"a:0": 1, "b:0": 1, "c:0": 1}, origins={"c:0": "1 9 id"})
    marks = [
        marker(inputs={"a:0": "2"}, origins={"a:0": "2 7 id"}),
        marker(inputs={"b:0": "5"}),
        marker(gone=["c:0"]),
        marker(seq="9"),
    ]
    after = advance(before, marks, 40)
    assert after.inputs == {"a:0": 2, "b:0": 5}
    assert after.origins == {"a:0": "2 7 id"}
    assert (after.number, after.seq, after.instance) == (44, 9, 4)
    assert before.inputs == {"a:0": 1, "b:0": 1, "c:0": 1}


def test_a_marker_of_another_version() -> None:
    """Its additions are passed over, and a field that it has not stays as it was."""
    before = Position(40, "inc", seq=3, reset=8)
    after = advance(before, [b'M{"seq":"4","added":{"x":1}}'], 40)
    assert after == Position(41, "inc", seq=4, reset=8)


def test_the_nominal_time_of_an_entry() -> None:
    assert nominal_time(queued(TriggerKind.NOW)) == NOMINAL


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, b"1970-01-01T00:00:00.000Z"),
        (NOMINAL, b"2023-11-14T22:13:20.123Z"),
        (1_709_251_199_999, b"2024-02-29T23:59:59.999Z"),
        (253_402_300_799_999, b"9999-12-31T23:59:59.999Z"),
    ],
)
def test_instants_are_rfc_3339_with_milliseconds(instant: int, text: bytes) -> None:
    assert rfc3339(instant) == text


def test_occurrence_ids_differ_in_every_part() -> None:
    ids = {
        occurrence_id(b"j", 1, 2, 3),
        occurrence_id(b"k", 1, 2, 3),
        occurrence_id(b"j", 9, 2, 3),
        occurrence_id(b"j", 1, 9, 3),
        occurrence_id(b"j", 1, 2, 9),
    }
    assert len(ids) == 5
