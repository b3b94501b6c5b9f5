"""A history of jobs of scheduling.v1 made by hand: one job for each property, all as promised."""

from dataclasses import replace
from typing import Any

from chaos.history import CRON, INTERVAL, NOW, OK, WHEN, History, Quiet, Seen
from chaos.v1 import facts
from chaos.v1.specs import ONE, SKIP, Spec, without_defaults
from tests.client.contract import Data, Deleted, Job, JobDone, ScheduledJob, payload
from tests.unit.chaos_story import SPELLING, T0, Story, rfc3339

SETTLED, COMPLETE = 30_000, 60_000
MARKS = {"manual": "m", "backfill": "b"}


class V1Story(Story):
    """Instants are ms after T0."""

    def __init__(self) -> None:
        super().__init__()
        self.specs: dict[str, Spec] = {}
        self.seqs: dict[str, int] = {}
        self.metronome()

    def metronome(self, job_id: str = "m", type_: str = "metronome", first: int = 100_000) -> None:
        """Runs of 2018, so that no silence excuses anything. `first`: instance id."""
        for at in range(0, SETTLED, 100):
            job = ScheduledJob(id=first + at, type=type_, data=Data(payload=[payload(job_id)]))
            headers = {"nominal-time": rfc3339(T0 + at), "attempt": "1", "job-id": job_id}
            headers["occurrence-id"] = f"{job_id}/1/{T0 + at}/1"
            self.record("jobs", at, "queuedJob", job.SerializeToString(), headers)

    def v1(
        self, op: str, begun: int, ended: int, *names: str, outcome: str = OK, code: str = "",
        specs: tuple[Spec, ...] = (), answer: dict[str, Any] | None = None, **given: Any,
    ) -> None:  # fmt: skip
        lines = self.history.v1
        number = len(lines) + 1
        lines.append(
            {
                "kind": facts.CALL, "number": number, "op": op, "begun": T0 + begun,
                "names": list(names), "specs": [without_defaults(each) for each in specs],
                "given": given,
            }
        )  # fmt: skip
        lines.append(
            {
                "kind": facts.TOLD, "number": number, "at": T0 + ended, "outcome": outcome,
                "code": code, "answer": answer or {},
            }
        )  # fmt: skip

    def create(self, spec: Spec, at: int) -> None:
        answer = {"ids": [spec.id], "existing": [False]}
        self.v1(facts.CREATE, at, at + 10, specs=(spec,), answer=answer, request="")
        self.announce(spec, at + 5)

    def announce(self, spec: Spec, at: int) -> None:
        self.specs[spec.tag] = spec
        self.seqs[spec.tag] = len(self.seqs) + 1
        if spec.trigger != NOW:
            job = Job(id=spec.id, type=spec.type, data=Data(payload=[payload(spec.tag)]))
            self.record("resources", at, "jobsCreated", job.SerializeToString(), {})

    def update(self, spec: Spec, paths: list[str], revision: int, at: int) -> None:
        shown = {"tag": spec.tag, "label": spec.label, "max_runs": spec.max_runs}
        answer = {"revision": revision, "shown": shown}
        self.v1(
            facts.UPDATE, at, at + 10, spec.id, specs=(spec,), answer=answer, paths=paths,
            revision=revision - 1,
        )  # fmt: skip
        self.gone(spec.id, at + 4, "replaced")
        self.announce(spec, at + 5)

    def gone(self, job_id: str, at: int, outcome: str) -> None:
        value = Deleted(id=job_id).SerializeToString()
        self.record("resources", at, "jobsDeleted", value, {"outcome": outcome})

    def emit(
        self, tag: str, nominal: int, at: int, attempt: int = 1, *, origin: str = "schedule",
        number: int = 0,
    ) -> int:  # fmt: skip
        spec = self.specs[tag]
        self.instances += 1
        data = Data(payload=[payload(tag)])
        job = ScheduledJob(
            id=self.instances, type=spec.type, data=data, schedule_type=SPELLING[spec.trigger]
        )
        run_id = self.run_id(tag, nominal, origin)
        headers = {
            "occurrence-id": f"{run_id}/{attempt}", "job-id": spec.id,
            "nominal-time": rfc3339(T0 + nominal), "attempt": str(attempt),
        }  # fmt: skip
        if number:
            headers["run-number"] = str(number)
        self.record("jobs", at, "queuedJob", job.SerializeToString(), headers)
        return self.instances

    def run_id(self, tag: str, nominal: int, origin: str = "schedule") -> str:
        return f"{self.specs[tag].id}/{self.seqs[tag]}/{T0 + nominal}{MARKS.get(origin, '')}"

    def beat(self, instance: int, at: int) -> None:
        self.record("jobs", at, "jobHeartbeat", JobDone(id=instance).SerializeToString(), {})

    def done(self, tag: str, nominal: int, at: int, **fields: Any) -> None:
        self.answer(self.emit(tag, nominal, at, **fields), at + 20)

    def finals(self, *finals: dict[str, Any]) -> None:
        self.history.v1.append({"kind": facts.FINAL, "at": T0 + SETTLED, "jobs": list(finals)})


def spec(tag: str, trigger: str = INTERVAL, **fields: Any) -> Spec:
    return Spec(tag, f"v1:{tag}", fields.pop("type", "t"), trigger, **fields)


def final(tag: str, revision: int = 1, *, paused: bool = False, **fields: Any) -> dict[str, Any]:
    name = fields.pop("id", f"v1:{tag}")
    return {"id": name, "tag": tag, "revision": revision, "paused": paused, **fields}


def good() -> V1Story:
    """See the module."""
    story = V1Story()
    _bounds(story)
    _overlaps(story)
    _attempts(story)
    _pauses(story)
    _by_hand(story)
    _changes(story)
    history = story.history
    history.calls.clear()
    story.finals(
        final("limited", counted=0),
        final("later"),
        final("skips"),
        final("waits"),
        final("paused", paused=True),
        final("changed-2", 2, id="v1:changed"),
        final("hand"),
    )
    history.quiet = Quiet(T0 + SETTLED, T0 + COMPLETE, ())
    history.keys_left = []
    history.records = [each for each in history.records if each.at < T0 + COMPLETE]
    return story


def _bounds(story: V1Story) -> None:
    """`max_runs`, start, end, jitter, a start deadline, missed runs."""
    three = spec("three", period=1_000, max_runs=3)
    story.create(three, 0)
    for number in (1, 2, 3):
        story.done("three", 5 + 1_000 * number, 8 + 1_000 * number, number=number)
    story.gone("v1:three", 3_010, "finished")
    bounded = spec("bounded", period=1_000, start=T0 + 2_500, end=T0 + 5_600)
    story.create(bounded, 10)
    for nominal in range(2_500, 5_600, 1_000):
        story.done("bounded", nominal, nominal + 3)
    story.gone("v1:bounded", 5_510, "finished")
    later = spec(
        "later", period=5_000, jitter=4_000, start_deadline=2_000, older=SKIP, window=3_000
    )
    story.create(later, 20)
    for nominal in range(5_025, 29_000, 5_000):
        delay = later.delayed(T0 + nominal) - T0 - nominal
        story.done("later", nominal, nominal + delay + 3)
    limited = spec("limited", CRON, cron="*/10 * * * * *")
    story.create(limited, 30)
    for nominal in (10_000, 20_000):
        story.done("limited", nominal, nominal + 3)


def _overlaps(story: V1Story) -> None:
    """A run of four seconds: SKIP leaves out what comes meanwhile, ONE keeps one of it."""
    story.create(spec("skips", period=3_000, overlap=SKIP), 40)
    story.answer(story.emit("skips", 3_045, 3_048), 8_000)
    for nominal in range(9_045, 29_000, 3_000):
        story.done("skips", nominal, nominal + 3)
    story.create(spec("waits", period=3_000, overlap=ONE), 50)
    story.answer(story.emit("waits", 3_055, 3_058), 8_000)
    story.done("waits", 6_055, 8_003)
    for nominal in range(9_055, 29_000, 3_000):
        story.done("waits", nominal, nominal + 3)


def _attempts(story: V1Story) -> None:
    """A delay that is cut and shortened by hash; a time-out of its own, with heartbeats."""
    tries = spec(
        "tries", WHEN, due=T0 + 1_000, attempts=3, delay=1_000, exponential=True,
        max_delay=1_500, share=0.5,
    )  # fmt: skip
    story.create(tries, 60)
    at = 1_003
    for attempt in (1, 2, 3):
        story.answer(story.emit("tries", 1_000, at, attempt), at + 20, failed=attempt < 3)
        if attempt < 3:
            at += 20 + tries.backoff(T0 + 1_000, attempt + 1, 60_000) + 2
    story.gone("v1:tries", at + 25, "done")
    story.create(spec("beats", WHEN, due=T0 + 1_000, attempts=2, timeout=2_000), 70)
    beating = story.emit("beats", 1_000, 1_003)
    story.beat(beating, 1_900)
    story.done("beats", 1_000, 3_905, attempt=2)
    story.gone("v1:beats", 3_930, "done")
    story.create(spec("cancelled", WHEN, due=T0 + 1_000, attempts=5, delay=500), 80)
    story.answer(story.emit("cancelled", 1_000, 1_003), 1_010, failed=True)
    run_id = story.run_id("cancelled", 1_000)
    story.v1(facts.CANCEL, 1_100, 1_110, run_id, answer={"changed": 1})
    story.gone("v1:cancelled", 1_105, "cancelled")


def _pauses(story: V1Story) -> None:
    """Of a job, and of a type."""
    story.create(spec("paused", period=1_000), 90)
    for nominal in (1_095, 2_095, 3_095):
        story.done("paused", nominal, nominal + 3)
    story.v1(facts.PAUSE, 3_500, 3_510, "v1:paused")
    story.create(spec("typed", NOW, type="p"), 95)
    story.done("typed", 100, 103)
    story.v1(facts.PAUSE_TYPE, 5_000, 5_010, "p")
    story.create(spec("rests", NOW, type="p"), 5_020)
    story.v1(facts.RESUME_TYPE, 9_000, 9_010, "p", answer={})
    story.done("rests", 5_025, 9_005)


def _by_hand(story: V1Story) -> None:
    story.create(spec("hand", CRON, cron="10 * * * * *"), 200)
    for number, begun in enumerate((1_000, 1_020)):  # the request came twice
        run_id = story.run_id("hand", 1_005, "manual")
        story.v1(facts.RUN, begun, begun + 10, "v1:hand", answer={"runs": [run_id]}, request="r")
        if not number:
            story.done("hand", 1_005, 1_008, origin="manual")
    story.create(spec("filled", period=2_000, start=T0 + 100_000), 210)
    span: dict[str, Any] = {"from": T0 - 6_000, "until": T0}
    story.v1(
        facts.BACKFILL, 1_000, 1_010, "v1:filled", answer={"runs": 3}, most=1, request="f",
        **span,
    )  # fmt: skip
    for place, nominal in enumerate((-6_000, -4_000, -2_000)):
        story.done("filled", nominal, 1_020 + 100 * place, origin="backfill")
    story.v1(facts.DELETE, 29_000, 29_010, "v1:filled", answer={"changed": 1})
    story.gone("v1:filled", 29_005, "deleted")


def _changes(story: V1Story) -> None:
    """An Update with a field mask, one that comes too late, and two jobs with one key."""
    old = spec("changed", CRON, cron="15 * * * * *", label="x")
    story.create(old, 300)
    new = replace(old, tag="changed-2", label="y")
    story.update(new, ["payload", "labels"], 2, 400)
    stale = replace(old, tag="stale")
    story.v1(
        facts.UPDATE, 500, 510, old.id, specs=(stale,), outcome="refused", code="ABORTED",
        paths=["payload"], revision=1,
    )  # fmt: skip
    shown = {"revisions": {old.id: 2}, "open": []}
    story.v1(facts.GET, 550, 560, old.id, answer=shown)
    first = spec("key-1", WHEN, due=T0 + 1_000, key="k")
    story.create(first, 600)
    second = replace(first, tag="key-2", id="v1:key-2")
    answer = {"ids": [first.id], "existing": [True]}
    story.v1(facts.CREATE, 700, 710, specs=(second,), answer=answer, request="")
    story.done("key-1", 1_000, 1_003)
    story.gone(first.id, 1_030, "done")
    third = replace(first, tag="key-3", id="v1:key-3", due=T0 + 2_000)
    story.create(third, 1_500)
    story.done("key-3", 2_000, 2_003)
    story.gone(third.id, 2_030, "done")


def run_of(history: History, tag: str, nominal: int, attempt: int = 1) -> Seen:
    """The record of a run."""
    for record in history.records:
        if record.key == "queuedJob" and record.headers["nominal-time"] == rfc3339(T0 + nominal):
            data = ScheduledJob.FromString(record.value).data
            if data.payload[0].value == tag.encode() and record.headers["attempt"] == str(attempt):
                return record
    raise LookupError((tag, nominal, attempt))
