"""A campaign's history made by hand: one job of every kind, and all went as promised."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from chaos.generator import to_job
from chaos.history import (
    CREATE,
    CRON,
    DELETE,
    GRPC,
    INTERVAL,
    KAFKA,
    NOW,
    OK,
    READ,
    REFUSED,
    UNKNOWN,
    UPDATE,
    WHEN,
    Ask,
    Call,
    Fault,
    History,
    Quiet,
    Seen,
    Settings,
)
from chaos.model import parse_instant
from tests.client.contract import Deleted, Job, JobDone, JobFailed, ScheduledJob

T0 = 1_700_000_000_000
SETTLED, COMPLETE = 20_000, 26_000
TIMEOUT = 6_000
SPELLING = {NOW: "NOW", WHEN: "ONCE", INTERVAL: "RECURR", CRON: "RECURR"}


def rfc3339(instant: int) -> str:
    moment = datetime.fromtimestamp(instant // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{instant % 1000:03d}Z"


class Story:
    """Instants are milliseconds after T0; records get offsets in the order of time."""

    def __init__(self) -> None:
        self.history = History(settings=Settings(completion_timeout=TIMEOUT, max_backoff=60_000))
        self.asks: dict[str, Ask] = {}
        self.ids: dict[str, str] = {}
        self.instances = 0
        self._written = 0

    def call(
        self, op: str, begun: int, ended: int, *jobs: Ask, outcome: str = OK, **fields: Any
    ) -> Call:
        made = Call(
            number=len(self.history.calls) + 1,
            op=op,
            via=fields.pop("via", GRPC),
            begun=T0 + begun,
            jobs=jobs,
            ended=T0 + ended,
            outcome=outcome,
            **fields,
        )
        self.history.calls.append(made)
        for place, ask in enumerate(jobs):
            self.asks[ask.tag] = ask
            self.ids[ask.tag] = ask.id or (made.answered[place] if made.answered else ask.tag)
        return made

    def event(self, op: str, begun: int, *jobs: Ask, **fields: Any) -> Call:
        made = self.call(op, begun, begun + 5, *jobs, via=KAFKA, **fields)
        self.record("jobs", begun + 1, f"{op}Jobs", b"", {"call": str(made.number)})
        return made

    def record(self, topic: str, at: int, key: str, value: bytes, headers: dict[str, str]) -> Seen:
        self._written += 1
        offset = at * 1000 + self._written
        made = Seen(topic, offset, T0 + at, key, value, headers)
        self.history.records.append(made)
        return made

    def created(self, tag: str, at: int) -> None:
        job = Job.FromString(to_job(self.asks[tag]).SerializeToString())
        job.id = self.ids[tag]
        self.record("resources", at, "jobsCreated", job.SerializeToString(), {})

    def deleted(self, tag: str, at: int) -> None:
        value = Deleted(id=self.ids[tag]).SerializeToString()
        self.record("resources", at, "jobsDeleted", value, {})

    def run(self, tag: str, nominal: int, at: int, attempt: int = 1) -> int:
        ask, job_id = self.asks[tag], self.ids[tag]
        self.instances += 1
        job = ScheduledJob(
            id=self.instances,
            type=ask.type,
            data=to_job(ask).data,
            schedule_type=SPELLING[ask.trigger],
        )
        headers = {
            "occurrence-id": f"{job_id}/{tag}/{T0 + nominal}/{attempt}",
            "job-id": job_id,
            "nominal-time": rfc3339(T0 + nominal),
            "attempt": str(attempt),
        }
        self.record("jobs", at, "queuedJob", job.SerializeToString(), headers)
        return self.instances

    def answer(self, instance: int, at: int, *, failed: bool = False) -> None:
        kind = JobFailed if failed else JobDone
        key = "jobFailed" if failed else "jobDone"
        self.record("jobs", at, key, kind(id=instance).SerializeToString(), {})

    def once(self, tag: str, due: int, *, late: int = 3, answered: int = 10) -> None:
        """Run, done, deleted."""
        self.answer(self.run(tag, due, due + late), due + late + answered)
        self.deleted(tag, due + late + answered + 5)


def when(tag: str, due: int, **fields: Any) -> Ask:
    return Ask(tag, WHEN, id=fields.pop("id", f"id-{tag}"), due=T0 + due, **fields)


def good() -> History:
    """See the module."""
    story = Story()
    _now_and_when(story)
    _changes(story)
    _events(story)
    _order_and_limits(story)
    _recurring(story)
    _attempts(story)
    story.call(READ, 15_000, 15_010, ids=("id-i", "id-w", "none"), answered=("id-i",))
    story.call(DELETE, 21_000, 21_010, ids=("id-i", "id-c"))
    story.deleted("i", 21_005)
    story.deleted("c", 21_005)
    history = story.history
    history.faults.append(Fault("kill", "replica-1", T0 + 9_000, T0 + 9_010))
    history.quiet = Quiet(T0 + SETTLED, T0 + COMPLETE, ("id-far", "id-event", "id-u3"))
    history.keys_left = []
    return history


def _now_and_when(story: Story) -> None:
    story.call(CREATE, 0, 10, Ask("now", NOW))
    story.answer(story.run("now", 4, 20), 30)
    story.call(CREATE, 40, 50, when("w", 400), when("far", 900_000))
    story.created("w", 45)
    story.created("far", 45)
    story.once("w", 400)
    story.call(CREATE, 420, 430, when("given", 800, id=""), answered=("chosen",))
    story.created("given", 425)
    story.once("given", 800)


def _changes(story: Story) -> None:
    story.call(CREATE, 900, 910, when("u1", 700_000, id="id-u"))
    story.created("u1", 905)
    story.call(UPDATE, 920, 930, when("u2", 1_500, id="id-u"))
    story.deleted("u1", 925)
    story.created("u2", 925)
    invalid = Ask("invalid", "invalid", id="id-x")
    story.call(
        CREATE, 940, 950, when("v", 1_600), invalid, outcome=REFUSED, code="INVALID_ARGUMENT"
    )
    lost = when("unknown-1", 1_700)
    story.call(CREATE, 960, 970, lost, outcome=UNKNOWN, code="UNAVAILABLE")
    applied = when("unknown-2", 1_800), when("unknown-3", 1_800, priority=10)
    story.call(CREATE, 980, 990, *applied, outcome=UNKNOWN, code="DEADLINE_EXCEEDED")
    story.created("unknown-2", 1_000)
    story.created("unknown-3", 1_000)
    story.call(CREATE, 1_010, 1_020, when("gone", 100_000), when("u3", 600_000))
    story.created("gone", 1_015)
    story.created("u3", 1_015)
    story.call(
        CREATE, 1_030, 1_040, when("again", 1_000_000, id="id-u3"),
        outcome=REFUSED, code="ALREADY_EXISTS",
    )  # fmt: skip
    story.call(DELETE, 1_050, 1_060, ids=("id-gone", "id-none"))
    story.deleted("gone", 1_055)
    story.call(
        UPDATE, 1_070, 1_080, when("late", 1_000_000, id="id-gone"),
        outcome=REFUSED, code="NOT_FOUND",
    )  # fmt: skip
    story.once("u2", 1_500)
    story.once("unknown-2", 1_800)
    story.once("unknown-3", 1_800, late=20)


def _events(story: Story) -> None:
    story.event(CREATE, 2_000, when("event", 700_000))
    story.event(CREATE, 2_001, Ask("event-now", NOW))
    story.created("event", 2_010)
    story.answer(story.run("event-now", 2_008, 2_015), 2_020)
    event = story.event(UPDATE, 2_030, when("refused", 700_000))
    sent = story.history.records[-1]
    headers = {"status": "NOT_FOUND", "offset": str(sent.offset), "call": str(event.number)}
    story.record("dead_letter", 2_040, "modifyJobs", b"", headers)


def _order_and_limits(story: Story) -> None:
    story.call(
        CREATE, 2_100, 2_110, when("low", 3_000, priority=10), when("urgent", 3_000, priority=-15),
        when("first", 3_000, priority=5 * -2), when("second", 3_000, priority=-10),
    )  # fmt: skip
    for tag in ("low", "urgent", "first", "second"):
        story.created(tag, 2_105)
    for tag in ("urgent", "first", "second", "low"):
        story.answer(story.run(tag, 3_000, 3_002), 3_020)
        story.deleted(tag, 3_030)
    limited = [when(f"one-{n}", 4_000, type="one", parallel=1) for n in (1, 2)]
    story.call(CREATE, 3_100, 3_110, *limited)
    story.created("one-1", 3_105)
    story.created("one-2", 3_105)
    story.once("one-1", 4_000)
    story.once("one-2", 4_000, late=30)


def _recurring(story: Story) -> None:
    story.call(CREATE, 4_100, 4_110, Ask("i", INTERVAL, id="id-i", period=1_000))
    story.created("i", 4_105)
    story.call(CREATE, 4_120, 4_130, Ask("c", CRON, id="id-c", cron="*/2 * * * * *"))
    story.created("c", 4_125)
    for second in range(5, 21):
        if second % 2 == 0:
            story.answer(story.run("c", second * 1_000, second * 1_000 + 2), second * 1_000 + 9)
        nominal = second * 1_000 + 104
        story.answer(story.run("i", nominal, nominal + 3), nominal + 10)


def _attempts(story: Story) -> None:
    story.call(CREATE, 20_500, 20_510, when("tries", 20_600, attempts=3, backoff=300))
    story.created("tries", 20_505)
    for attempt, at in ((1, 20_603), (2, 20_912), (3, 21_221)):
        instance = story.run("tries", 20_600, at, attempt)
        story.answer(instance, at + 6, failed=attempt < 3)
    story.answer(instance, 21_230, failed=True)
    story.deleted("tries", 21_240)
    story.call(CREATE, 20_520, 20_530, when("silent", 12_000, id="id-silent", attempts=2))
    story.history.calls[-1] = replace(story.history.calls[-1], begun=T0 + 11_000, ended=T0 + 11_010)
    story.created("silent", 11_005)
    story.run("silent", 12_000, 12_003)
    story.answer(story.run("silent", 12_000, 18_010, 2), 18_020)
    story.deleted("silent", 18_030)


def live_on(history: History, job_id: str) -> None:
    """Read shows the job at the end."""
    if history.quiet:
        history.quiet = replace(history.quiet, living=(*history.quiet.living, job_id))
    for call in history.calls:
        if call.op == READ:
            call.answered = tuple({*call.answered, job_id} & {*call.ids})


# --- Breaking it ------------------------------------------------------------------------------


def tag_of(record: Seen) -> str:
    kinds: dict[str, Callable[[bytes], Any]] = {
        "queuedJob": ScheduledJob.FromString,
        "jobsCreated": Job.FromString,
    }
    if record.key not in kinds:
        return ""
    payload = kinds[record.key](record.value).data.payload
    return str(payload[0].value.decode())


def find(
    history: History, key: str, tag: str, *, nominal: int | None = None, attempt: int = 1
) -> int:
    """The place of a record."""
    for place, record in enumerate(history.records):
        if record.key == key and tag_of(record) == tag:
            headers = record.headers
            if key != "queuedJob" or (
                int(headers["attempt"]) == attempt
                and nominal in (None, parse_instant(headers["nominal-time"]) - T0)
            ):
                return place
    raise LookupError((key, tag, nominal, attempt))


def find_deleted(history: History, job_id: str, number: int = 0) -> int:
    return [
        place
        for place, record in enumerate(history.records)
        if record.key == "jobsDeleted" and Deleted.FromString(record.value).id == job_id
    ][number]


def find_answer(history: History, instance: int, number: int = 0) -> int:
    return [
        place
        for place, record in enumerate(history.records)
        if record.key in ("jobDone", "jobFailed")
        and JobDone.FromString(record.value).id == instance
    ][number]


def instance_of(record: Seen) -> int:
    return int(ScheduledJob.FromString(record.value).id)


def change(history: History, place: int, **fields: Any) -> None:
    history.records[place] = replace(history.records[place], **fields)


def repeat(history: History, place: int, *, later: int = 5, **fields: Any) -> Seen:
    """The record again, behind itself."""
    record = history.records[place]
    fields = {"offset": record.offset + 1, "at": record.at + later, **fields}
    again = replace(record, **fields)
    history.records.append(again)
    return again


def with_instance(record: Seen, instance: int) -> bytes:
    job = ScheduledJob.FromString(record.value)
    job.id = instance
    return bytes(job.SerializeToString())


def call_of(history: History, tag: str) -> Call:
    return next(call for call in history.calls if any(job.tag == tag for job in call.jobs))
