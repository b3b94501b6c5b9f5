"""What the topics say of a shard: which jobs live, what was emitted, answered, or waits."""

import asyncio
import struct
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from scheduling_client.wire import job_pb2
from scheduling_srv.app.deployments.deployment import Deployment, Identity
from scheduling_srv.app.recovery.rebuild import INSTANCE_JUMP, MEMORY_BYTES, SEQ_JUMP, SKEW, Rebuild
from scheduling_srv.app.recovery.settlement import Settlement
from scheduling_srv.app.replies import RebuiltJob, RebuiltRun
from scheduling_srv.domain.errors import NewerData, StoreUnavailable
from scheduling_srv.domain.job import NewJob
from scheduling_srv.formats.kafka_records import (
    Emission,
    JournalBackfill,
    JournalRetry,
    LogRecord,
    RunKey,
)
from scheduling_srv.formats.position_record import Position
from scheduling_srv.formats.versions import FORMATS, READS
from scheduling_srv.runtime.time_slice import TimeSlice
from tests.store.shard import HOUR, MINUTE, NOW, at_once, cron, every, of_version, once

RUN = RunKey("a", 1, NOW)

OURS = Deployment()
OURS.be(Identity("ours", "fingerprint"))


def emission(attempt: int = 1, instance: int = 7, at: int = NOW, run: RunKey = RUN) -> Emission:
    return Emission(run, attempt, instance, at)


def settled(
    *emissions: Emission, answers: Sequence[int] = (), retries: Sequence[JournalRetry] = ()
) -> list[tuple[int, int, int | None]]:
    """Attempt, instance and due of the open runs."""
    settlement = Settlement()
    for each in emissions:
        settlement.emitted(each)
    for answer in answers:
        settlement.answered(answer)
    runs = [*settlement.waiting(retries), *settlement.unanswered()]
    return [(run.attempt, run.instance, run.due) for run in runs]


def retry(attempt: int) -> JournalRetry:
    return JournalRetry(RUN, attempt, NOW + HOUR)


def test_an_emitted_run_is_open_until_its_answer() -> None:
    assert settled(emission()) == [(1, 7, None)]
    assert settled(emission(), answers=[7]) == []
    assert settled(emission(), answers=[8]) == [(1, 7, None)]


def test_of_its_attempts_only_the_last_counts() -> None:
    """Whatever the order in which partitions are read."""
    assert settled(emission(1, 7), emission(2, 9)) == [(2, 9, None)]
    assert settled(emission(2, 9), emission(1, 7)) == [(2, 9, None)]
    assert settled(emission(1, 7), emission(2, 9), answers=[7]) == [(2, 9, None)]
    assert settled(emission(1, 7), emission(2, 9), answers=[9]) == []


def open_after(settlement: Settlement, *emissions: Emission) -> list[int]:
    """The instances of the open runs, after these emissions."""
    for each in emissions:
        settlement.emitted(each)
    return [run.instance for run in settlement.unanswered()]


@pytest.mark.parametrize("first", [False, True], ids=["after the run", "before the run"])
def test_an_answer_that_names_another_run_is_stale(first: bool) -> None:
    """Whatever the order in which partitions are read."""
    for occurrence, is_open in ((f"a/1/{NOW}/1", False), (f"a/1/{NOW}/2", True), ("x", True)):
        settlement = Settlement()
        if not first:
            settlement.emitted(emission())
        settlement.answered(7, occurrence.encode())
        assert open_after(settlement, emission()) == [7] * is_open


def test_a_cancelled_run_has_ended() -> None:
    """Also if no answer to its last attempt was applied; a later attempt is open."""
    settlement = Settlement()
    settlement.cancelled(f"a/1/{NOW}/1".encode())
    assert open_after(settlement, emission()) == []
    assert open_after(settlement, emission(2, 9)) == [9]
    with pytest.raises(ValueError, match="invalid literal"):
        settlement.cancelled(b"a/1/x")


def test_a_run_of_another_origin_says_nothing_of_the_schedule() -> None:
    settlement = Settlement()
    by_hand = RUN._replace(origin=1)
    assert open_after(settlement, emission(), emission(1, 8, run=by_hand)) == [7, 8]
    assert [run.origin for run in settlement.unanswered()] == [0, 1]
    assert settlement.latest_nominal("a", 1) == NOW
    settlement = Settlement()
    settlement.emitted(emission(1, 8, run=by_hand))
    assert settlement.latest_nominal("a", 1) is None


async def test_answered_runs_by_hand_leave_the_job_to_its_schedule() -> None:
    """A one-time job was run by hand before its time."""
    settlement = Settlement(large=1)
    settlement.emitted(emission()._replace(one_time=True))
    by_hand = emission(1, 8, run=RUN._replace(origin=1))._replace(one_time=True)
    settlement.emitted(by_hand)
    settlement.answered(8)
    await settlement.tidy(TimeSlice())
    assert settlement.latest_nominal("a", 1) == NOW


def test_a_run_that_waits_for_its_retry_is_not_unanswered() -> None:
    """Whether the failure is on the topic, or was a time-out."""
    assert settled(emission(), answers=[7], retries=[retry(2)]) == [(2, 0, NOW + HOUR)]
    assert settled(emission(), retries=[retry(2)]) == [(2, 0, NOW + HOUR)]
    assert settled(retries=[retry(2)]) == [(2, 0, NOW + HOUR)]


def test_a_retry_that_was_emitted_is_a_run() -> None:
    """Its journal entry stays until its last answer."""
    assert settled(emission(2, 9), retries=[retry(2)]) == [(2, 9, None)]
    assert settled(emission(2, 9), answers=[9], retries=[retry(2)]) == []
    assert settled(emission(2, 9), answers=[9], retries=[retry(3)]) == [(3, 0, NOW + HOUR)]


def test_occurrences_and_generations_are_different_runs() -> None:
    other = emission(1, 8, run=RunKey("a", 1, NOW + 1))
    newer = emission(1, 9, run=RunKey("a", 2, NOW))
    assert len(settled(emission(), other, newer, answers=[7])) == 2


def test_an_emission_is_read_from_its_record() -> None:
    value = job_pb2.ScheduledJob(id=300, type="t").SerializeToString()
    headers = {"occurrence-id": "a/b é/12/1700/3".encode()}
    found = Emission.parse(LogRecord(0, 5, NOW, b"queuedJob", value, headers))
    assert found == Emission(RunKey("a/b é", 12, 1700), 3, 300, NOW, b"t")


@pytest.mark.parametrize(
    ("kind", "one_time"), [("NOW", True), ("ONCE", True), ("RECURR", False), ("RECCUR", False)]
)
def test_an_emission_says_whether_its_job_has_others(kind: str, one_time: bool) -> None:
    value = job_pb2.ScheduledJob(id=300, type="t", schedule_type=kind).SerializeToString()
    headers = {"occurrence-id": b"a/1/1/1"}
    found = Emission.parse(LogRecord(0, 5, NOW, b"queuedJob", value, headers))
    assert found.one_time == one_time


def test_a_retry_is_read_from_its_record() -> None:
    value = struct.pack("<QQIQ", 12, 1700, 3, 1800)
    found = JournalRetry.parse("a/b é\x0012\x001700".encode(), value)
    assert found == JournalRetry(RunKey("a/b é", 12, 1700), 3, 1800)


class Kafka:
    """What there is to read, and the shard that is filled from it."""

    def __init__(self) -> None:
        self.kept: list[LogRecord] = []
        self.read = 0
        self.jobs: list[LogRecord] = []
        self.since = -1
        self.loaded: list[RebuiltJob] = []
        self.runs: list[RebuiltRun] = []
        self.steps: list[str] = []
        self.position = Position(0, "")

    def now(self) -> int:
        return NOW

    def job(self, job: NewJob, seq: int) -> None:
        """A living job."""
        record = seq.to_bytes(6, "little") + job.record[6:]
        value = struct.pack("<Q", job.due) + record
        self._keep(job.id.encode(), value, b"job")

    def retry(self, run: RunKey, attempt: int, due: int) -> None:
        key = f"{run.job_id}\0{run.seq}\0{run.nominal}".encode()
        self._keep(key, struct.pack("<QQIQ", run.seq, run.nominal, attempt, due), b"retry")

    def gone(self, key: str) -> None:
        self._keep(key.encode(), None, b"")

    def _keep(self, key: bytes, value: bytes | None, kind: bytes) -> None:
        self.kept.append(LogRecord(0, len(self.kept), NOW, key, value, {"kind": kind}))

    def queued(
        self,
        run: RunKey,
        attempt: int = 1,
        instance: int = 7,
        at: int = NOW,
        kind: str = "RECURR",
        *,
        deployment: str = "",
    ) -> None:
        occurrence = f"{run.job_id}/{run.seq}/{run.nominal}/{attempt}".encode()
        value = job_pb2.ScheduledJob(
            id=instance, type="t" * 200, schedule_type=kind
        ).SerializeToString()
        headers = {"occurrence-id": occurrence}
        if deployment:
            headers["deployment"] = deployment.encode()
        self._say(b"queuedJob", value, at, headers)

    def done(self, instance: int) -> None:
        self._say(b"jobDone", job_pb2.JobDone(id=instance).SerializeToString(), NOW, {})

    def cancelled(self, occurrence: str, deployment: str) -> None:
        """As the service says it."""
        headers = {
            "outcome": b"cancelled",
            "occurrence-id": occurrence.encode(),
            "deployment": deployment.encode(),
        }
        self._say(b"jobFailed", b"", NOW, headers)

    def backfill(self, job_id: str) -> None:
        self._keep(f"{job_id}\0backfill".encode(), b'{"seq":1}', b"backfill")

    async def load_backfills(self, token: str, backfills: Sequence[JournalBackfill]) -> int:
        self.steps.append("backfills")
        return len(backfills)

    def _say(
        self, key: bytes | None, value: bytes | None, at: int, headers: dict[str, bytes]
    ) -> None:
        self.jobs.append(LogRecord(0, len(self.jobs), at, key, value, headers))

    async def journal(self) -> AsyncGenerator[Sequence[LogRecord]]:
        self.read += 1
        yield self.kept[:1]
        yield self.kept[1:]

    async def jobs_since(self, instant: int) -> AsyncGenerator[Sequence[LogRecord]]:
        self.since = instant
        yield self.jobs

    async def begin_rebuild(self, token: str, stored: int = 0) -> None:
        self.steps.append("begin")

    async def load_jobs(self, token: str, jobs: Sequence[RebuiltJob]) -> int:
        self.steps.append("jobs")
        ids = [job.id for job in jobs]
        assert len({*ids}) == len(ids)
        before = len(self.living())
        self.loaded += jobs
        return len(self.living()) - before

    def living(self) -> dict[str, RebuiltJob]:
        """As `load_jobs` leaves them: the last word on an id counts."""
        last = {job.id: job for job in self.loaded}
        return {job_id: job for job_id, job in last.items() if job.record}

    async def load_runs(self, token: str, runs: Sequence[RebuiltRun]) -> int:
        self.steps.append("runs")
        self.runs += runs
        return len(runs)

    async def initialise(
        self, token: str, position: Position, now: int, *, origin: str, jump: int
    ) -> str:
        assert origin == "old"
        self.steps.append(f"ready {jump}")
        self.position = position
        return "lineage"


async def rebuild(kafka: Kafka, *, memory_bytes: int = MEMORY_BYTES, **position: Any) -> Position:
    world: Any = kafka
    maker = Rebuild(
        world,
        world,
        jobs_topic="jobs",
        clock=world,
        deployment=OURS,
        memory_bytes=memory_bytes,
    )
    found, lineage = await maker.run("token", Position(50, "old", **position))
    assert lineage == "lineage"
    return found


def dues(kafka: Kafka) -> dict[str, int | None]:
    return {job_id: job.due for job_id, job in kafka.living().items()}


async def test_it_is_ready_only_at_the_end() -> None:
    """And goes on from Kafka's number, with numbers that nobody has been given."""
    kafka = Kafka()
    kafka.job(once("a", NOW + HOUR), 9)
    kafka.queued(RunKey("b", 1, NOW), instance=500)
    found = await rebuild(kafka, seq=4, instance=3, replay_from=NOW)
    assert kafka.steps == ["begin", "jobs", "runs", f"ready {SEQ_JUMP}"]
    assert (found.number, found.seq, found.instance) == (50, 9, 500 + INSTANCE_JUMP)
    assert found.incarnation not in ("", "old")
    assert kafka.position == found
    assert kafka.since == NOW - SKEW


@pytest.mark.parametrize("version", range(len(FORMATS)))
@pytest.mark.parametrize("known", range(len(FORMATS)))
async def test_records_tell_the_format_if_the_position_does_not(version: int, known: int) -> None:
    """The position was lost with Redis: calls of scheduling.v1 need not wait for another one."""
    kafka = Kafka()
    for seq, each in enumerate((version, 0), 9):
        job = once(f"of-{seq}", NOW + HOUR)
        kafka.job(job._replace(record=of_version(job.record, each)), seq)
    found = await rebuild(kafka, seq=4, replay_from=NOW, format=known)
    assert found.format == max(known, version)


async def test_void_records_tell_nothing_of_the_format() -> None:
    kafka = Kafka()
    kafka.job(once("a", NOW + HOUR), 9)
    found = await rebuild(kafka, seq=9, reset=9, replay_from=NOW, format=1)
    assert found.format == 1


async def test_instance_ids_begin_anew_behind_the_last_one() -> None:
    found = await rebuild(Kafka(), instance=2**32 - 1)
    assert found.instance == INSTANCE_JUMP - 1


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("known", [2**32 - 9, 100_000])
async def test_after_a_wrap_the_small_instance_ids_are_the_later_ones(
    order: int, known: int
) -> None:
    """A deployment may begin near the last id. Those behind the wrap must not come again."""
    kafka = Kafka()
    for nominal, instance in [(NOW, 2**32 - 9), (NOW + 1, 100_000)][::order]:
        kafka.queued(RunKey("a", 1, nominal), instance=instance)
    found = await rebuild(kafka, instance=known)
    assert found.instance == 100_000 + INSTANCE_JUMP


async def test_without_a_position_the_runs_say_which_instance_ids_were_used() -> None:
    kafka = Kafka()
    kafka.queued(RunKey("a", 1, NOW), instance=3_000_000_000)
    found = await rebuild(kafka)
    assert found.instance == 3_000_000_000 + INSTANCE_JUMP


async def test_a_cancelled_run_is_not_put_back() -> None:
    """Another service cannot cancel it."""
    kafka = Kafka()
    for name, deployment in (("ours", "ours"), ("theirs", "theirs")):
        kafka.queued(RunKey(name, 1, NOW), instance=len(name))
        kafka.cancelled(f"{name}/1/{NOW}/1", deployment)
    await rebuild(kafka, replay_from=NOW)
    assert [run.job_id for run in kafka.runs] == ["theirs"]


async def test_backfills_are_put_back_after_all_runs() -> None:
    kafka = Kafka()
    kafka.backfill("a")
    kafka.queued(RunKey("a", 1, NOW))
    await rebuild(kafka, replay_from=NOW)
    last_runs = max(at for at, step in enumerate(kafka.steps) if step == "runs")
    assert kafka.steps.index("backfills") > last_runs


async def test_runs_of_another_deployment_are_not_believed() -> None:
    """Two services on one topic: the jobs of the other one are no running jobs of ours."""
    kafka = Kafka()
    for name, deployment in (("older", ""), ("ours", "ours"), ("theirs", "theirs")):
        kafka.job(every(name, MINUTE, NOW), 1)
        kafka.queued(RunKey(name, 1, NOW), instance=len(name), deployment=deployment)
    await rebuild(kafka, replay_from=NOW)
    assert sorted(run.job_id for run in kafka.runs) == ["older", "ours"]
    assert dues(kafka)["theirs"] == NOW


async def test_runs_that_are_ahead_of_their_position_are_not_emitted_again() -> None:
    """They were sent at once. A copy of an answered one opens nothing (docs/decisions/0005)."""
    kafka = Kafka()
    kafka.job(every("ahead", MINUTE, NOW), 1)
    kafka.job(every("copied", MINUTE, NOW), 2)
    for nominal in (NOW, NOW + MINUTE):
        kafka.queued(RunKey("ahead", 1, nominal), instance=nominal - NOW + 1, at=nominal)
    kafka.queued(RunKey("copied", 2, NOW), instance=9)
    kafka.done(9)
    kafka.queued(RunKey("copied", 2, NOW), instance=9)
    await rebuild(kafka, replay_from=NOW, inputs={"jobs:0": 4})
    assert dues(kafka) == {"ahead": NOW + 2 * MINUTE, "copied": NOW + MINUTE}
    assert [(run.job_id, run.instance) for run in kafka.runs] == [
        ("ahead", 1),
        ("ahead", MINUTE + 1),
    ]


async def test_a_second_attempt_that_is_ahead_supersedes_the_first() -> None:
    """Its failure was applied, and is read again: it is of no run then."""
    kafka = Kafka()
    kafka.job(once("a", NOW), 1)
    kafka.queued(RunKey("a", 1, NOW), instance=3)
    kafka.queued(RunKey("a", 1, NOW), attempt=2, instance=4)
    await rebuild(kafka, replay_from=NOW)
    assert [(run.attempt, run.instance) for run in kafka.runs] == [(2, 4)]


async def test_the_journal_says_who_lives() -> None:
    """The last word on a key counts; a reset makes void what is older."""
    kafka = Kafka()
    kafka.job(once("a", NOW + 1), 1)
    kafka.job(once("b", NOW + 2), 2)
    kafka.job(once("b", NOW + 3), 4)
    kafka.job(once("c", NOW + 4), 3)
    kafka.job(once("d", NOW + 5), 5)
    kafka.gone("d")
    await rebuild(kafka, reset=1)
    assert dues(kafka) == {"b": NOW + 3, "c": NOW + 4}


@pytest.mark.parametrize("version", range(FORMATS[READS].job + 1))
async def test_every_known_version_of_a_record_is_loaded(version: int) -> None:
    kafka = Kafka()
    job = once("a", NOW + 1)
    kafka.job(job._replace(record=of_version(job.record, version)), 1)
    await rebuild(kafka)
    assert dues(kafka) == {"a": NOW + 1}


async def test_a_record_of_a_later_version_stops_the_rebuild() -> None:
    """Unless a reset has made it void."""
    kafka = Kafka()
    job = once("a", NOW + 1)
    kafka.job(job._replace(record=of_version(job.record, FORMATS[READS].job + 1)), 1)
    with pytest.raises(NewerData):
        await rebuild(kafka)
    await rebuild(kafka, reset=1)
    assert dues(kafka) == {}


@pytest.mark.parametrize(("created", "errors"), [(5, 1), (0, 0)])
async def test_an_empty_journal_is_an_error_if_there_ever_was_a_job(
    created: int, errors: int
) -> None:
    """Somebody has deleted it while Redis was empty: both copies of the jobs are gone."""
    with capture_logs() as lines:
        await rebuild(Kafka(), seq=created)
    assert len([line for line in lines if line["log_level"] == "error"]) == errors


async def test_a_one_time_job_that_was_emitted_only_has_its_run() -> None:
    kafka = Kafka()
    kafka.job(once("open", NOW), 1)
    kafka.job(at_once("waits", NOW), 2)
    kafka.job(once("overdue", NOW - HOUR), 3)
    kafka.queued(RunKey("open", 1, NOW), instance=7)
    kafka.queued(RunKey("waits", 2, NOW), instance=8)
    kafka.done(8)
    kafka.retry(RunKey("waits", 2, NOW), 2, NOW + 9)
    await rebuild(kafka, inputs={"jobs:0": 3})
    assert dues(kafka) == {"open": None, "waits": None, "overdue": NOW - HOUR}
    assert [(run.job_id, run.attempt, run.instance, run.due) for run in kafka.runs] == [
        ("waits", 2, 0, NOW + 9),
        ("open", 1, 7, None),
    ]


async def test_recurring_jobs_go_on_behind_their_last_run() -> None:
    kafka = Kafka()
    kafka.job(every("seen", MINUTE, NOW), 1)
    kafka.job(every("settled", MINUTE, NOW), 2)
    kafka.job(every("new", MINUTE, NOW + HOUR), 3)
    kafka.job(cron("cron", "*/10 * * * *", NOW), 4)
    kafka.queued(RunKey("seen", 1, NOW + 5 * MINUTE), at=NOW + 5 * MINUTE)
    await rebuild(kafka, replay_from=NOW + 5 * MINUTE)
    # NOW is 22:13:20.
    assert dues(kafka) == {
        "seen": NOW + 6 * MINUTE,
        "settled": NOW + 5 * MINUTE,
        "new": NOW + HOUR,
        "cron": NOW + 6 * MINUTE + 40_000,
    }


async def test_what_has_passed_in_a_pause_stays_so() -> None:
    """A run that nobody has answered since long ago lets a rebuild look far back."""
    kafka = Kafka()
    kafka.job(every("interval", MINUTE, NOW + HOUR), 1)
    kafka.job(cron("cron", "*/10 * * * *", NOW + HOUR + 1), 2)
    kafka.queued(RunKey("interval", 1, NOW), at=NOW)
    await rebuild(kafka, replay_from=NOW - HOUR)
    assert dues(kafka) == {"interval": NOW + HOUR, "cron": NOW + HOUR + 6 * MINUTE + 40_000}


async def test_a_late_retry_says_nothing_of_later_occurrences() -> None:
    """They were settled before `replay_from`."""
    kafka = Kafka()
    kafka.job(every("a", MINUTE, NOW), 1)
    kafka.queued(RunKey("a", 1, NOW), attempt=2, at=NOW + HOUR)
    await rebuild(kafka, replay_from=NOW + HOUR)
    assert dues(kafka) == {"a": NOW + HOUR}


async def test_what_was_emitted_before_an_update_is_loaded_as_attempt_0() -> None:
    """The job was not planned yet; the store goes on behind that occurrence."""
    kafka = Kafka()
    kafka.job(cron("a", "*/10 * * * *", NOW), 5)
    kafka.retry(RunKey("a", 5, NOW), 0, NOW)
    await rebuild(kafka, replay_from=NOW)
    assert dues(kafka) == {"a": NOW}
    assert [(run.nominal, run.attempt, run.due) for run in kafka.runs] == [(NOW, 0, NOW)]


async def test_a_run_that_a_change_of_schedule_has_left_is_put_back_until_it_was_emitted() -> None:
    for emitted in (False, True):
        kafka = Kafka()
        kafka.job(every("a", HOUR, NOW + HOUR), 5)
        kafka.retry(RunKey("a", 5, NOW), 1, NOW)
        if emitted:
            kafka.queued(RunKey("a", 5, NOW), instance=7)
        await rebuild(kafka, replay_from=NOW)
        assert dues(kafka) == {"a": NOW + HOUR}
        assert [(run.attempt, run.instance, run.due) for run in kafka.runs] == [
            (1, 7, None) if emitted else (1, 0, NOW)
        ]


async def test_an_update_begins_anew() -> None:
    """Runs of the generation before say nothing of the new one's time."""
    kafka = Kafka()
    kafka.job(every("a", MINUTE, NOW + 2 * HOUR), 5)
    kafka.queued(RunKey("a", 1, NOW + 3 * HOUR))
    await rebuild(kafka, replay_from=NOW)
    assert dues(kafka) == {"a": NOW + 2 * HOUR}


async def test_unanswered_runs_of_jobs_that_are_gone_hold_their_place() -> None:
    """`parallel` counts them until they are answered, but a reset has forgotten them."""
    kafka = Kafka()
    kafka.job(every("updated", MINUTE, NOW + HOUR), 9)
    for job_id, seq in (("reset", 1), ("deleted", 2), ("updated", 3)):
        kafka.queued(RunKey(job_id, seq, NOW), instance=seq)
        kafka.retry(RunKey(job_id, seq, NOW + 1), 2, NOW + HOUR)
    await rebuild(kafka, reset=1)
    waiting = [run.seq for run in kafka.runs if run.due is not None]
    assert waiting == [2, 3], "the store leaves them out: their jobs are gone, or are others"
    assert [(run.seq, run.instance, run.type) for run in kafka.runs if run.due is None] == [
        (2, 2, b"t" * 200),
        (3, 3, b"t" * 200),
    ]


@pytest.mark.parametrize(("applied", "left"), [(2, 0), (1, 1), (0, 1)])
async def test_answers_count_up_to_where_they_were_applied(applied: int, left: int) -> None:
    """The listener reads later ones again."""
    kafka = Kafka()
    kafka.job(every("a", MINUTE, NOW), 1)
    kafka.queued(RunKey("a", 1, NOW))
    kafka.done(7)
    await rebuild(kafka, inputs={"jobs:0": applied})
    assert len(kafka.runs) == left


async def test_records_of_others_do_not_stop_a_rebuild() -> None:
    """The jobs topic is open to everybody."""
    kafka = Kafka()
    kafka.job(every("a", MINUTE, NOW), 1)
    kafka.queued(RunKey("a", 1, NOW))
    kafka._say(None, None, NOW, {})
    kafka._say(b"queuedJob", b"", NOW, {})
    beyond = b"a/1/2/4294967296", b"a/1/9223372036854775808/1", b"a/-1/2/1"
    for name in (b"x", b"", b"a/b/c/d", b"\xff/1/2/3", *beyond):
        kafka._say(b"queuedJob", b"\x08\x07", NOW, {"occurrence-id": name})
    kafka._say(b"jobDone", b"\xff\xff", NOW, {})
    kafka._say(b"jobFailed", None, NOW, {})
    await rebuild(kafka, inputs={"jobs:0": 99})
    assert [run.instance for run in kafka.runs] == [7]


# --- The memory of a rebuild (docs/decisions/0015) ------------------------------------------------


def filled() -> Kafka:
    """60 jobs of 10 kB: some were replaced, some are gone, some wait for retries."""
    kafka = Kafka()
    large = job_pb2.Data(creator="x" * 10_000).SerializeToString()
    for number in range(60):
        job = once(f"j{number}", NOW + number)
        kafka.job(job._replace(record=job.record + large), number + 1)
    for number in range(0, 60, 3):
        kafka.gone(f"j{number}")
    for number in range(1, 60, 3):
        kafka.job(once(f"j{number}", NOW + HOUR), number + 100)
    for number in range(2, 60, 3):
        kafka.retry(RunKey(f"j{number}", number + 1, NOW), 2, NOW + number)
        kafka.retry(RunKey(f"j{number}", number + 1, NOW + 1), 2, NOW + number)
        kafka.gone(f"j{number}\0{number + 1}\0{NOW + 1}")
    return kafka


async def test_a_journal_larger_than_the_memory_is_loaded_in_windows() -> None:
    """The same comes of it: what an earlier window has loaded is replaced or taken out again."""
    at_once, in_windows = filled(), filled()
    await rebuild(at_once)
    await rebuild(in_windows, memory_bytes=80_000)
    assert dues(in_windows) == dues(at_once)
    assert in_windows.living() == at_once.living()
    assert len(dues(at_once)) == 40
    assert at_once.read == 1
    sizes = [len(job.record) for job in in_windows.loaded]
    assert sum(sizes) >= 60 * 10_000, "it holds no more than a window"


async def test_the_next_window_is_read_while_one_is_loaded() -> None:
    """And no further one, which would take more memory; it is loaded after that one."""
    kafka, may_load, read = filled(), asyncio.Event(), list[bytes | None]()
    load_jobs, calls = kafka.load_jobs, list[Sequence[RebuiltJob]]()

    async def journal() -> AsyncGenerator[Sequence[LogRecord]]:
        for entry in kafka.kept:
            read.append(entry.key)
            yield [entry]

    async def slowly(token: str, jobs: Sequence[RebuiltJob]) -> int:
        calls.append(jobs)
        await may_load.wait()
        return await load_jobs(token, jobs)

    kafka.journal = journal  # type: ignore[method-assign]
    kafka.load_jobs = slowly  # type: ignore[method-assign]
    rebuilding = asyncio.create_task(rebuild(kafka, memory_bytes=200_000))
    await until_blocked()
    assert [[job.id for job in piece] for piece in calls] == [[f"j{n}" for n in range(5)]]
    assert read == [b"j%d" % n for n in range(10)]
    may_load.set()
    await rebuilding
    other = filled()
    await rebuild(other)
    assert kafka.living() == other.living()


async def until_blocked() -> None:
    """Let all tasks go on until they wait for something that only the test does."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_retries_larger_than_the_memory_are_read_share_by_share() -> None:
    at_once, in_shares = filled(), filled()
    await rebuild(at_once)
    await rebuild(in_shares, memory_bytes=8_000)
    assert in_shares.read > 1
    assert sorted(in_shares.runs) == sorted(at_once.runs)
    assert len(at_once.runs) == 20


async def test_runs_that_were_answered_are_forgotten() -> None:
    """What is kept is what may still count: open runs, retries, and where recurring jobs stand."""
    settlement = Settlement(large=100)
    for number in range(1000):
        run = RunKey(f"once-{number}", number, NOW)
        settlement.emitted(Emission(run, 1, number, NOW, b"t", one_time=True))
        run = RunKey("every", 1, NOW + number)
        settlement.emitted(Emission(run, 1, 5000 + number, NOW, b"t"))
        if number % 100:
            settlement.answered(number)
            settlement.answered(5000 + number)
    await settlement.tidy(TimeSlice())
    assert len(settlement.emissions) == 20
    assert len(settlement.nominals) == 11
    assert settlement.latest_nominal("every", 1) == NOW + 999
    # A copy of an answered run opens nothing.
    run = RunKey("once-1", 1, NOW)
    settlement.emitted(Emission(run, 1, 1, NOW, b"t", one_time=True))
    assert len([*settlement.unanswered()]) == 20


async def test_a_failed_rebuild_leaves_nothing_behind() -> None:
    """Neither calls that are under way, nor readers of Kafka."""
    kafka = filled()
    closed = []

    async def journal() -> AsyncGenerator[Sequence[LogRecord]]:
        try:
            for entry in kafka.kept:
                yield [entry]
        finally:
            closed.append(True)

    async def load_jobs(token: str, jobs: Sequence[RebuiltJob]) -> int:
        await asyncio.sleep(0)
        raise StoreUnavailable("gone")

    kafka.journal = journal  # type: ignore[method-assign]
    kafka.load_jobs = load_jobs  # type: ignore[method-assign]
    before = asyncio.all_tasks()
    with pytest.raises(StoreUnavailable):
        await rebuild(kafka, memory_bytes=80_000)
    assert closed == [True]
    assert asyncio.all_tasks() == before
