"""The audit finds what is wrong with the topics, and nothing else."""

import struct
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from scheduling_srv.app.audit import Audit, AuditCodec, Report, Window
from scheduling_srv.app.records import LogRecord, Position
from scheduling_srv.domain import record
from scheduling_srv.domain.job import JobRequest, NewJob, Trigger, TriggerKind
from scheduling_srv.entrances import readback
from scheduling_srv.wire import job_pb2

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

    def created(self, job_id: str, at: int = NOW, **fields: object) -> None:
        job = job_pb2.Job(id=job_id, type="t", **fields)  # type: ignore[arg-type]
        job.data.creator = "me"
        self.resource_log.append(logged(b"jobsCreated", job.SerializeToString(), at))

    def deleted(self, job_id: str, at: int) -> None:
        value = job_pb2.Deleted(id=job_id).SerializeToString()
        self.resource_log.append(logged(b"jobsDeleted", value, at))

    def run(self, job_id: str, nominal: int, *, late: int = 5, attempt: int = 1) -> int:
        """A queuedJob; returns its instance."""
        self.instance += 1
        value = job_pb2.ScheduledJob(id=self.instance, type="t").SerializeToString()
        headers = {"occurrence-id": f"{job_id}/1/{nominal}/{attempt}".encode()}
        self.jobs_log.append(logged(b"queuedJob", value, nominal + late, headers))
        return self.instance

    def failed(self, instance: int, at: int) -> None:
        value = job_pb2.JobFailed(id=instance, error="boom").SerializeToString()
        self.jobs_log.append(logged(b"jobFailed", value, at))

    async def resources(self, offset: int) -> AsyncIterator[Sequence[LogRecord]]:
        yield self.resource_log[offset:]

    async def journal(self) -> AsyncIterator[Sequence[LogRecord]]:
        yield self.journal_log

    async def jobs_since(self, instant: int) -> AsyncIterator[Sequence[LogRecord]]:
        yield [entry for entry in self.jobs_log if entry.timestamp >= instant]

    async def last_position(self) -> Position | None:
        return None

    async def input_starts(self) -> Mapping[str, int]:
        return {}

    async def audit(self) -> Report:
        codec = AuditCodec(
            readback.read_job, readback.read_deleted, readback.read_cron, readback.answer_instance
        )
        return await Audit(self, codec, WINDOW).run()


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


async def test_a_job_that_only_the_journal_knows(topics: Topics) -> None:
    """Its creation has left jobs.resource, or it was restored without being announced."""
    data = job_pb2.Data(timezone="UTC", creator="me").SerializeToString()
    request = JobRequest("old", "t", "UTC", "me", data, b"")
    due = NOW + 30 * SECOND
    job = NewJob("old", due, record.pack(request, Trigger(TriggerKind.ONCE, due)))
    value = struct.pack("<Q", job.due) + job.record
    topics.journal_log.append(logged(b"old", value, NOW - SECOND, {"kind": b"job"}))
    assert kinds(await topics.audit()) == [("missing", "old", 30)]
