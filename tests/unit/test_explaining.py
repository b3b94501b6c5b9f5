"""ExplainJob between its bytes and the store: what is gathered, and when Kafka is asked."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from scheduling_client.wire.v1 import run_service_pb2 as service
from scheduling_srv.app.ports import ListedJob
from scheduling_srv.app.requests.explaining import Explaining
from scheduling_srv.app.requests.passing import with_passing
from scheduling_srv.domain.errors import InvalidRequest, NotFound
from scheduling_srv.domain.explanation.decision import explain
from scheduling_srv.domain.explanation.facts import Emitted, Facts, TopicRead
from scheduling_srv.domain.explanation.reasons import Verdict
from scheduling_srv.domain.intervals import Farewell, Gone, IntervalLogs, Outage
from scheduling_srv.domain.job import NewJob, StoredJob
from scheduling_srv.domain.job_filter import JobState
from scheduling_srv.domain.limits import Limits
from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run import (
    JobCounters,
    JobRuns,
    Run,
    RunFilter,
    RunId,
    RunOrigin,
    RunOutcome,
    RunPage,
    RunState,
)
from scheduling_srv.domain.run_rules import MissedRule
from scheduling_srv.formats.v1.explanations import decode_explain, encode_explained
from tests.store.shard import HOUR, MINUTE, NOW, SECOND, at_once, cron, every, once


class World:
    """What the store and Kafka answer."""

    def __init__(self, *jobs: NewJob, nominal: int | None = None) -> None:
        self.jobs = jobs
        self.nominal = nominal
        self.runs: list[Run] = []
        self.more = ""
        self.logs = IntervalLogs()
        self.read = TopicRead(NOW, NOW, whole=True)
        self.asked: list[Any] = []

    def now(self) -> int:
        return NOW + HOUR

    async def show(self, ids: Sequence[str]) -> Sequence[ListedJob]:
        return [
            ListedJob(StoredJob(b"j", each.record), JobState.WAITING, self.nominal, self.nominal)
            for each in self.jobs
        ]

    async def of_jobs(self, jobs: Sequence[Any]) -> dict[Any, Any]:
        return {"j": JobRuns(JobCounters(counted=2))} if jobs == ["j"] else {}

    async def list(self, wanted: RunFilter, limit: int, token: str = "") -> RunPage:
        self.asked.append(wanted)
        return RunPage(self.runs, self.more)

    async def intervals(self, job_id: str, job_type: str) -> IntervalLogs:
        self.asked.append((job_id, job_type))
        return self.logs

    async def emitted(self, job_id: str, nominal: int, since: int) -> TopicRead:
        self.asked.append((job_id, nominal, since))
        return self.read

    def explaining(self, shards: int = 1) -> Explaining:
        this: Any = self
        return Explaining(
            listing=this,
            pauses=this,
            runs=this,
            logs=[this] * shards,
            topic=this,
            clock=this,
            missed=MissedRule(MINUTE, latest=True),
        )


def done(nominal: int) -> Run:
    run = Run(RunId("j", 0, nominal), "t", RunState.ENDED, attempts=1, outcome=RunOutcome.DONE)
    return run._replace(started=nominal, ended=nominal + 1)


async def test_a_run_of_the_history_needs_no_topic() -> None:
    world = World(every("j", MINUTE, NOW), nominal=NOW + HOUR)
    world.runs = [done(NOW + MINUTE)]
    found, sentences = await world.explaining().explain("j", NOW + MINUTE)
    assert (found.verdict, found.after) == (Verdict.EMITTED, NOW + 2 * MINUTE)
    assert world.asked == [RunFilter("j"), ("j", "t")]
    assert len(sentences) == 2


async def test_the_topic_is_read_where_nothing_else_knows() -> None:
    """From the end of the outage on, if it was due in one."""
    world = World(every("j", MINUTE, NOW, properties=Properties(max_runs=9)), nominal=NOW + HOUR)
    at = NOW + MINUTE
    world.logs = IntervalLogs([Outage(NOW + 1, NOW + 90 * SECOND)])
    emitted = Emitted(at, 1, NOW + 90 * SECOND, RunOrigin.SCHEDULE, 0, "t")
    world.read = TopicRead(at, NOW, True, [emitted])
    found, _ = await world.explaining().explain("j", at)
    assert world.asked[-1] == ("j", at, NOW + 90 * SECOND)
    assert (found.verdict, found.late) == (Verdict.EMITTED, 30 * SECOND)


async def test_a_job_with_many_open_runs_is_asked_for_the_one() -> None:
    world = World(every("j", MINUTE, NOW), nominal=NOW + HOUR)
    world.runs, world.more = [done(NOW)], "more"
    await world.explaining().explain("j", None)
    assert RunFilter("j", nominal_from=NOW + HOUR, nominal_until=NOW + HOUR + 1) in world.asked


async def test_a_limited_caller_asks_about_living_jobs_of_its_own() -> None:
    world = World(every("j", MINUTE, NOW), nominal=NOW + HOUR)
    mail, own = Limits(types=frozenset({"mail"})), Limits(types=frozenset({"t"}))
    with pytest.raises(NotFound, match="no job with the id j"):
        await world.explaining().explain("j", NOW, mail)
    assert world.asked == []
    found, _ = await world.explaining().explain("j", NOW + MINUTE, own)
    assert found.verdict is not Verdict.ENDED
    with pytest.raises(NotFound):
        await World().explaining().explain("j", NOW, own)


async def test_runs_of_an_earlier_job_of_another_caller_explain_nothing() -> None:
    world = World(every("j", MINUTE, NOW), nominal=NOW + HOUR)
    at = NOW + MINUTE
    world.runs = [done(at)._replace(id=RunId("j", 7, at), type="mail")]
    own = Limits(types=frozenset({"t"}))
    verdicts = [
        (await world.explaining().explain("j", at, each))[0].verdict for each in (None, own)
    ]
    assert verdicts[0] is Verdict.EMITTED
    assert verdicts[1] is not Verdict.EMITTED


async def test_a_limited_caller_is_told_nothing_of_times_before_its_job() -> None:
    """Records of then are those of another job with this id."""
    world = World(once("j", NOW - MINUTE))
    at = NOW - MINUTE
    world.read = TopicRead(
        at, NOW, whole=True, emitted=[Emitted(at, 1, at, RunOrigin.SCHEDULE, 7, "t")]
    )
    own = Limits(types=frozenset({"t"}))
    verdicts = [
        (await world.explaining().explain("j", at, each))[0].verdict for each in (None, own)
    ]
    assert verdicts[0] is Verdict.EMITTED
    assert verdicts[1] is not Verdict.EMITTED


async def test_a_job_that_is_gone_may_be_of_any_shard() -> None:
    world = World()
    world.logs = IntervalLogs([Outage(1, 2)], gone=[Gone(NOW, 1, Farewell.DELETED)])
    found, _ = await world.explaining(shards=3).explain("j", NOW + 1)
    assert found.verdict is Verdict.ENDED
    assert world.asked.count(("j", "")) == 3


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (once("j", NOW + 9 * HOUR), "It is due at"),
        (cron("j", "0 5 * * *", NOW + 9 * HOUR, timezone="Asia/Tokyo"), "Asia/Tokyo"),
        (cron("j", "every blue moon", NOW + 9 * HOUR), "It is due at"),
        (at_once("j"), "There is no record"),
    ],
)
async def test_every_kind_of_job(job: NewJob, words: str) -> None:
    nominal = NOW + 9 * HOUR
    world = World(*([] if words == "There is no record" else [job]), nominal=nominal)
    _, sentences = await world.explaining().explain("j", nominal)
    assert words in " ".join(sentences)


# --- Counters of paused jobs ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "number"),
    [
        (every("j", MINUTE, NOW), 61),
        (every("j", MINUTE, NOW, properties=Properties(end=NOW + 9 * MINUTE)), 10),
        (cron("j", "*/5 * * * *", NOW), 12),
        (cron("j", "every blue moon", NOW), 0),
        (once("j", NOW), 0),
    ],
)
def test_what_passes_in_a_pause_counts_before_it_ends(job: NewJob, number: int) -> None:
    stored = StoredJob(b"j", job.record)
    at_rest = ListedJob(stored, JobState.PAUSED, None, NOW)
    runs = JobRuns(JobCounters(skipped=1000))
    assert with_passing(runs, at_rest, NOW + HOUR).counters.skipped == 1000 + number
    waits = at_rest._replace(due=NOW)
    assert with_passing(runs, waits, NOW + HOUR) == runs


# --- Bytes ----------------------------------------------------------------------------------------


def test_a_request() -> None:
    request = service.ExplainJobRequest(job_id="j")
    assert decode_explain(request.SerializeToString()) == ("j", None)
    request.at.FromDatetime(datetime(2030, 1, 1, tzinfo=UTC))
    assert decode_explain(request.SerializeToString()) == ("j", 1_893_456_000_000)
    for faulty in (service.ExplainJobRequest(), _out_of_range()):
        with pytest.raises(InvalidRequest):
            decode_explain(faulty.SerializeToString())


def _out_of_range() -> service.ExplainJobRequest:
    request = service.ExplainJobRequest(job_id="j")
    request.at.seconds = 1 << 60
    return request


def test_an_answer() -> None:
    found = explain(Facts("j", NOW, NOW, None, runs=[done(NOW)]))
    answer = service.ExplainJobResponse.FromString(encode_explained(found, ["It ran."])).explanation
    assert answer.verdict == service.Explanation.VERDICT_EMITTED
    assert list(answer.sentences) == ["It ran."]
    assert answer.run.run_id == f"j/0/{NOW}"
    assert answer.HasField("lateness")
    assert not answer.HasField("before")
    unknown = explain(Facts("j", None, NOW, None))
    answer = service.ExplainJobResponse.FromString(encode_explained(unknown, [])).explanation
    assert not answer.HasField("run")
    assert not answer.HasField("lateness")
