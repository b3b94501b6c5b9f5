"""The audit finds what is wrong with the topics, and nothing else."""

import struct
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace

import pytest

from scheduling_client.schedules.when import rfc3339
from scheduling_client.wire import job_pb2
from scheduling_srv.audit.compare import Audit, Report, Window
from scheduling_srv.domain.job import JobRequest, Trigger, TriggerKind
from scheduling_srv.formats import job_record
from scheduling_srv.formats.kafka_records import Extent, LogRecord
from scheduling_srv.formats.position_record import Position
from scheduling_srv.formats.positions import InputPosition

NOW = 1_700_000_000_000
SECOND = 1_000
WINDOW = Window(since=NOW, until=NOW + 100 * SECOND)


class Topics:
    """A history made by hand."""

    def __init__(self) -> None:
        self.resource_log: list[LogRecord] = []
        self.jobs_log: list[LogRecord] = []
        self.journal_log: list[LogRecord] = []
        self.instance = 0

    def created(self, job_id: str, at: int = NOW, due: int = 0, **fields: object) -> None:
        job = job_pb2.Job(id=job_id, type="t", **fields)  # type: ignore[arg-type]
        job.data.creator = "me"
        headers = {"nominal-time": rfc3339(due)} if due else {}
        self.resource_log.append(logged(b"jobsCreated", job.SerializeToString(), at, headers))
        self.journal_log.append(logged(job_id.encode(), b"a record", at, {"kind": b"job"}))

    def forgotten(self, job_id: str, at: int) -> None:
        """The journal lets go of a job."""
        self.journal_log.append(logged(job_id.encode(), None, at))

    def deleted(self, job_id: str, at: int, **headers: bytes) -> None:
        value = job_pb2.Deleted(id=job_id).SerializeToString()
        self.resource_log.append(logged(b"jobsDeleted", value, at, headers))
        self.forgotten(job_id, at)

    def run(self, job_id: str, nominal: int, *, late: int = 5, attempt: int = 1) -> int:
        """A queuedJob; returns its instance."""
        self.instance += 1
        value = job_pb2.ScheduledJob(id=self.instance, type="t").SerializeToString()
        headers = {"occurrence-id": f"{job_id}/1/{nominal}/{attempt}".encode()}
        self.jobs_log.append(logged(b"queuedJob", value, nominal + late, headers))
        return self.instance

    def failed(self, instance: int, at: int, *, cancelled: str = "", **more: object) -> None:
        """`cancelled`: the service says that this occurrence is."""
        value = job_pb2.JobFailed(id=instance, error="boom", **more).SerializeToString()  # type: ignore[arg-type]
        headers = {"outcome": b"cancelled", "occurrence-id": cancelled.encode()}
        self.jobs_log.append(logged(b"jobFailed", value, at, headers if cancelled else None))

    async def resource_extents(self) -> Sequence[Extent]:
        return [Extent(0, 0, len(self.resource_log))]

    async def resources(self, extents: Sequence[Extent]) -> AsyncGenerator[Sequence[LogRecord]]:
        for _, first, end in extents:
            yield self.resource_log[first:end]

    async def journal(self) -> AsyncGenerator[Sequence[LogRecord]]:
        yield []  # the audit looks at that of every shard

    async def journals(self) -> AsyncGenerator[Sequence[LogRecord]]:
        yield self.journal_log

    async def jobs_since(self, instant: int) -> AsyncGenerator[Sequence[LogRecord]]:
        yield [entry for entry in self.jobs_log if entry.timestamp >= instant]

    async def last_position(self) -> Position | None:
        return None

    async def input_starts(self) -> Mapping[str, InputPosition]:
        return {}

    async def audit(self, window: Window = WINDOW) -> Report:
        return await Audit(self, window).run()


def logged(
    key: bytes, value: bytes | None, at: int, headers: Mapping[str, bytes] | None = None
) -> LogRecord:
    return LogRecord(0, 0, at, key, value, headers or {})


def kinds(report: Report) -> list[tuple[str, str, int]]:
    """Kind, job and seconds after NOW of each finding."""
    return [(f.kind, f.job_id, (f.nominal - NOW) // SECOND) for f in report.findings]


@pytest.fixture
def topics() -> Topics:
    return Topics()


@pytest.fixture
def ticking(topics: Topics) -> Topics:
    """A job of every ten seconds with all its runs."""
    topics.created("tick", interval="10 seconds")
    for second in range(10, 101, 10):
        topics.run("tick", NOW + second * SECOND)
    return topics


async def test_a_good_history_is_clean(ticking: Topics) -> None:
    report = await ticking.audit()
    assert report.clean
    assert (report.runs, report.findings, report.coalesced) == (10, (), 0)
    assert report.lateness == (5,) * 10


async def test_a_lost_occurrence_is_missing(ticking: Topics) -> None:
    del ticking.jobs_log[3]
    report = await ticking.audit()
    assert not report.clean
    assert kinds(report) == [("missing", "tick", 40)]


async def test_a_lost_one_time_run_is_missing(topics: Topics) -> None:
    topics.created("once", when="in 30 seconds")
    assert kinds(await topics.audit()) == [("missing", "once", 30)]


async def test_what_is_due_within_the_grace_may_still_come(topics: Topics) -> None:
    topics.created("once", when="in 95 seconds")
    assert (await topics.audit()).clean


async def test_a_cron_job_is_known_by_its_zone(topics: Topics) -> None:
    topics.created("cron", interval="*/20 * * * * *")
    first = NOW - NOW % 20_000 + 20_000
    for nominal in range(first, NOW + 90_000, 20_000):
        topics.run("cron", nominal)
    assert (await topics.audit()).clean
    del topics.jobs_log[1]
    assert [finding.nominal for finding in (await topics.audit()).findings] == [first + 20_000]


async def test_the_same_run_twice_is_doubled(ticking: Topics) -> None:
    ticking.run("tick", NOW + 30 * SECOND, late=900)
    assert kinds(await ticking.audit()) == [("doubled", "tick", 30)]


async def test_a_run_may_be_repeated_where_runs_are_sent_at_once(ticking: Topics) -> None:
    """The same record again, however late; another instance of the run is still a second one."""
    window = replace(WINDOW, repeats=True)
    ticking.jobs_log.append(ticking.jobs_log[2]._replace(timestamp=NOW + 90 * SECOND))
    report = await ticking.audit(window)
    assert report.clean
    assert report.runs == 10
    assert kinds(report) == [("repeated", "tick", 30)]
    ticking.run("tick", NOW + 40 * SECOND)
    assert ("doubled", "tick", 40) in kinds(await ticking.audit(window))


async def test_a_millisecond_early_is_early(ticking: Topics) -> None:
    ticking.run("other", NOW + 30 * SECOND, late=-1)
    assert kinds(await ticking.audit()) == [("early", "other", 30)]


async def test_a_late_run_is_told_but_clean(ticking: Topics) -> None:
    ticking.run("other", NOW + 30 * SECOND, late=1_001)
    report = await ticking.audit()
    assert report.clean
    assert kinds(report) == [("late", "other", 30)]


async def test_a_deleted_job_owes_nothing_more(topics: Topics) -> None:
    topics.created("tick", interval="10 seconds")
    topics.run("tick", NOW + 10 * SECOND)
    topics.deleted("tick", NOW + 25 * SECOND)
    assert (await topics.audit()).clean


async def test_an_outage_may_swallow_old_occurrences(topics: Topics) -> None:
    """The run after it is more than the catch-up window late for them."""
    topics.created("tick", interval="10 seconds")
    topics.run("tick", NOW + 20 * SECOND, late=65 * SECOND)
    for second in range(30, 101, 10):
        topics.run("tick", NOW + second * SECOND, late=max(5, (85 - second) * SECOND))
    report = await topics.audit()
    assert report.clean
    assert report.coalesced == 1


async def test_a_failure_that_is_not_tried_again_is_missing(topics: Topics) -> None:
    backoff = job_pb2.Backoff(delay=2_000)
    topics.created("once", when="in 10 seconds", attempts=2, backoff=backoff)
    instance = topics.run("once", NOW + 10 * SECOND)
    topics.failed(instance, NOW + 11 * SECOND)
    (finding,) = (await topics.audit()).findings
    assert (finding.kind, finding.attempt) == ("missing", 2)
    topics.run("once", NOW + 10 * SECOND, late=3_000, attempt=2)
    assert (await topics.audit()).clean


async def test_a_worker_may_say_when_to_try_again(topics: Topics) -> None:
    topics.created("once", when="in 10 seconds", attempts=2)
    instance = topics.run("once", NOW + 10 * SECOND)
    topics.failed(instance, NOW + 11 * SECOND, retry_after_ms=1_000 * SECOND)
    assert (await topics.audit()).clean


async def test_nothing_follows_a_final_failure_or_a_cancelled_run(topics: Topics) -> None:
    for name in ("final", "cancelled", "waiting"):
        topics.created(name, when="in 10 seconds", attempts=2)
    nominal = NOW + 10 * SECOND
    topics.failed(topics.run("final", nominal), NOW + 11 * SECOND, final=True)
    topics.failed(
        topics.run("cancelled", nominal),
        NOW + 11 * SECOND,
        final=True,
        cancelled=f"cancelled/1/{nominal}/1",
    )
    topics.failed(topics.run("waiting", nominal), NOW + 11 * SECOND)
    topics.failed(0, NOW + 11 * SECOND, cancelled=f"waiting/1/{nominal}/1")
    assert (await topics.audit()).clean


async def test_a_run_by_hand_is_none_of_the_schedule(topics: Topics) -> None:
    topics.created("every", interval="10 seconds", due=NOW + 10 * SECOND)
    topics.run("every", NOW + 10 * SECOND)
    value = job_pb2.ScheduledJob(id=99, type="t").SerializeToString()
    headers = {"occurrence-id": f"every/1/{NOW + 20 * SECOND}m/1".encode()}
    topics.jobs_log.append(logged(b"queuedJob", value, NOW + 20 * SECOND, headers))
    assert ("missing", "every", 20) in kinds(await topics.audit())


def in_journal(topics: Topics, job_id: str, due: int, **fields: object) -> None:
    """A job as the journal has it, without its jobsCreated."""
    data = job_pb2.Data(timezone="UTC", creator="me").SerializeToString()
    request = JobRequest(job_id, "t", "UTC", "me", data, b"", **fields)  # type: ignore[arg-type]
    stored = job_record.pack(request, Trigger(TriggerKind.ONCE, due))
    value = struct.pack("<Q", due) + stored
    topics.journal_log.append(logged(job_id.encode(), value, NOW - SECOND, {"kind": b"job"}))


async def test_a_job_that_only_the_journal_knows(topics: Topics) -> None:
    """Its creation has left jobs.resource, or it was restored without being announced."""
    in_journal(topics, "old", NOW + 30 * SECOND)
    assert kinds(await topics.audit()) == [("missing", "old", 30)]


async def test_the_last_word_of_the_journal_counts(topics: Topics) -> None:
    """A compacted topic may still hold earlier records of a job, and of jobs that are gone."""
    in_journal(topics, "updated", NOW + 30 * SECOND)
    in_journal(topics, "updated", NOW + 50 * SECOND)
    in_journal(topics, "gone", NOW + 30 * SECOND)
    topics.forgotten("gone", NOW + 40 * SECOND)
    assert kinds(await topics.audit()) == [("missing", "updated", 50)]


async def test_a_reset_job_owes_nothing_more(ticking: Topics) -> None:
    """A reset announces nothing: the journal tells of it."""
    del ticking.jobs_log[4:]
    ticking.forgotten("tick", NOW + 45 * SECOND)
    assert (await ticking.audit()).clean
    del ticking.jobs_log[1]
    assert kinds(await ticking.audit()) == [("missing", "tick", 20)]


async def test_a_job_of_which_the_journal_has_nothing_owes_nothing(topics: Topics) -> None:
    topics.created("tick", interval="10 seconds")
    topics.journal_log.clear()
    assert (await topics.audit()).clean


async def test_a_one_time_job_that_was_announced_late_is_known(topics: Topics) -> None:
    """Kafka was away, or the instant lay in the past by up to a second when it was accepted."""
    due = NOW + 30 * SECOND
    topics.created("once", at=due + 5 * SECOND, due=due, when=rfc3339(due).decode())
    assert kinds(await topics.audit()) == [("missing", "once", 30)]


async def test_a_run_that_is_held_back_is_told_but_clean(topics: Topics) -> None:
    """As many runs of its type as `parallel` allows are unanswered: it waits, and is not lost."""
    topics.created("tick", interval="10 seconds", parallel=1)
    first = topics.run("tick", NOW + 10 * SECOND)
    report = await topics.audit()
    assert report.clean
    assert {kind for kind, *_ in kinds(report)} == {"waiting"}
    topics.failed(first, NOW + 15 * SECOND)
    report = await topics.audit()
    assert not report.clean
    assert {kind for kind, *_ in kinds(report)} == {"missing"}


async def test_a_run_that_later_ones_have_overtaken_was_not_held_back(topics: Topics) -> None:
    topics.created("tick", interval="10 seconds", parallel=1)
    topics.run("tick", NOW + 10 * SECOND)
    topics.run("tick", NOW + 90 * SECOND)
    missing = [seconds for kind, _, seconds in kinds(await topics.audit()) if kind == "missing"]
    assert missing == [40, 50, 60, 70, 80]  # an outage may have swallowed those before


async def test_runs_of_somebody_else_are_not_looked_at(ticking: Topics) -> None:
    for number in ("x/1/1", "x/a/b/c", f"x/1/{'9' * 5000}/1"):
        headers = {"occurrence-id": number.encode()}
        ticking.jobs_log.append(logged(b"queuedJob", b"\x08", NOW, headers))
    ticking.jobs_log.append(logged(b"queuedJob", b"\x08", NOW, {"occurrence-id": b"\xff"}))
    ticking.resource_log.append(logged(b"jobsCreated", b"\x0a\x7f\x01", NOW))
    assert (await ticking.audit()).clean


async def test_a_long_outage_is_compared_quickly(topics: Topics) -> None:
    """Each occurrence that was swallowed is looked up, not searched for."""
    topics.created("tick", interval="10 milliseconds")
    for at in range(8_000, 10_000):
        topics.run("tick", NOW + 10 * at, late=61_000)
    report = await topics.audit()
    assert report.coalesced == 7_999


async def test_a_run_that_kafka_refuses_is_not_missing() -> None:
    """The record that its one-time job is gone says so."""
    topics = Topics()
    topics.created("a", when=rfc3339(NOW + SECOND).decode())
    topics.created("b", when=rfc3339(NOW + SECOND).decode())
    topics.deleted("a", NOW + 30 * SECOND, outcome=b"refused")
    topics.deleted("b", NOW + 30 * SECOND)
    assert kinds(await topics.audit()) == [("missing", "b", 1)]
