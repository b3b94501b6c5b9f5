"""Tells from what clients did and were told what must, may and must not be on the topics.

It knows nothing of the product: neither its code nor its state. Its input is a history, and what
a read_committed consumer found on the topics afterwards. Instants are epoch milliseconds of the
one host that clients, service and servers share.

Clients keep four rules: the steps of one job id are made one after the other; each version of a
job carries a `tag` of its own in its payload; a step whose outcome is unknown has ended (its
server is dead), it is not still under way; the last answers to runs have been handled.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

FOREVER = 2**63


class Outcome(Enum):
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    """Told that it was not applied."""
    UNKNOWN = "unknown"
    """Not told at all."""


class Trigger(Enum):
    """What makes a job run; the value is its schedule type."""

    NOW = "NOW"
    WHEN = "ONCE"
    INTERVAL = "RECURR"


@dataclass(frozen=True)
class Write:
    """A Create or an Update: one version of a job."""

    job_id: str
    tag: str
    trigger: Trigger
    begun: int
    answered: int = FOREVER
    """FOREVER: not told when it was applied, as with events."""
    outcome: Outcome = Outcome.ACKNOWLEDGED
    due: int = 0
    """For WHEN."""
    period: int = 0
    """For INTERVAL."""
    attempts: int = 1
    backoff: int = 0


@dataclass(frozen=True)
class Removal:
    """A Delete."""

    job_id: str
    begun: int
    answered: int = FOREVER
    outcome: Outcome = Outcome.ACKNOWLEDGED


Step = Write | Removal


@dataclass(frozen=True)
class Run:
    """A queuedJob."""

    tag: str
    job_id: str
    schedule_type: str
    occurrence: str
    nominal: int
    attempt: int
    instance: int
    at: int
    """The record's timestamp."""
    offset: int


@dataclass(frozen=True)
class Answer:
    """A jobDone or jobFailed."""

    instance: int
    failed: bool
    at: int
    offset: int


@dataclass(frozen=True)
class Announcement:
    """A jobsCreated, or a jobsDeleted, which has no tag."""

    job_id: str
    tag: str | None
    at: int


@dataclass
class Observed:
    """What was on the topics at the end, and what Read showed then."""

    runs: list[Run] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    announcements: list[Announcement] = field(default_factory=list)
    living: set[str] = field(default_factory=set)
    complete_until: int = 0
    """What was due until then has had its time to run."""
    recurring_until: int = 0
    """The same for recurring jobs, which have to be deleted before all comes to an end."""


class Checker:
    """One history against one observation; `violations()` is empty when the promises were kept."""

    def __init__(self, history: Sequence[Step], observed: Observed) -> None:
        self.observed = observed
        self.steps: dict[str, list[Step]] = {}
        for step in history:
            self.steps.setdefault(step.job_id, []).append(step)
        self.writes = {step.tag: step for step in history if isinstance(step, Write)}
        self.runs: dict[str, list[Run]] = {}
        for run in sorted(observed.runs, key=lambda run: run.offset):
            self.runs.setdefault(run.tag, []).append(run)
        self.events: dict[str, list[Announcement]] = {}
        for event in observed.announcements:
            self.events.setdefault(event.job_id, []).append(event)
        self.created = Counter(event.tag for event in observed.announcements if event.tag)
        self.answers: dict[int, Answer] = {}
        """The first answer to each instance is the one that counts."""
        for answer in sorted(observed.answers, key=lambda answer: answer.offset):
            self.answers.setdefault(answer.instance, answer)

    def violations(self) -> list[str]:
        rules: list[Callable[[], Iterator[str]]] = [
            self._nobody_asked,
            self._twice,
            self._early,
            self._refused,
            self._lost,
            self._out_of_phase,
            self._retries,
            self._after_the_end,
            self._announcements,
            self._living,
        ]
        return [violation for rule in rules for violation in rule()]

    # --- rules ---

    def _nobody_asked(self) -> Iterator[str]:
        for tag in {*self.runs, *self.created} - {*self.writes}:
            yield f"nobody asked for {tag}"
        for write, run in self._all_runs():
            expected = (write.job_id, write.trigger.value)
            if (run.job_id, run.schedule_type) != expected:
                yield f"{run} should be of {expected}"

    def _twice(self) -> Iterator[str]:
        runs = self.observed.runs
        counts: dict[str, Counter[object]] = {
            "occurrence": Counter(run.occurrence for run in runs),
            "run": Counter((run.tag, run.nominal, run.attempt) for run in runs),
            "instance": Counter(run.instance for run in runs),
        }
        for what, counted in counts.items():
            for name, count in counted.items():
                if count > 1:
                    yield f"{what} {name} came {count} times"

    def _early(self) -> Iterator[str]:
        for write, run in self._all_runs():
            if run.at < run.nominal:
                yield f"{run} came {run.nominal - run.at} ms before its time"
            if run.at < write.begun or (run.nominal < write.begun - 1 and not write.due):
                yield f"{run} came before it was asked for, at {write.begun}"
            if write.trigger is Trigger.WHEN and run.nominal != write.due:
                yield f"{run} was to be due at {write.due}"

    def _refused(self) -> Iterator[str]:
        for write in self.writes.values():
            if write.outcome is Outcome.REFUSED and (self._ran(write) or self.created[write.tag]):
                yield f"{write} was refused, but applied"

    def _lost(self) -> Iterator[str]:
        """One-time jobs that nothing ended; one that was late may have ended before it came."""
        for write in self.writes.values():
            due = max(write.due, write.begun)
            if (
                write.trigger is not Trigger.INTERVAL
                and self._must_have_happened(write)
                and self._end_begins(write) == FOREVER
                and due <= self.observed.complete_until
                and not self._ran(write)
            ):
                yield f"{write} never ran"

    def _out_of_phase(self) -> Iterator[str]:
        for write in self.writes.values():
            if write.trigger is not Trigger.INTERVAL:
                continue
            nominals = sorted({run.nominal for run in self._ran(write) if run.attempt == 1})
            for earlier, later in pairwise(nominals):
                if later - earlier != write.period:
                    yield f"{write} ran at {earlier}, then at {later}"
            if nominals and not write.begun <= nominals[0] - write.period <= write.answered:
                yield f"{write} ran first at {nominals[0]}"
            yield from self._runs_that_stopped(write, nominals)

    def _runs_that_stopped(self, write: Write, nominals: list[int]) -> Iterator[str]:
        """Until it was ended, or until the end, every occurrence must have come."""
        until = self.observed.recurring_until
        if until < self._end_begins(write) and self._must_have_happened(write):
            last = nominals[-1] if nominals else write.answered
            if last + write.period <= until:
                yield f"{write} did not run after {last}, up to {until}"

    def _retries(self) -> Iterator[str]:
        for write, run in self._all_runs():
            if run.attempt > max(write.attempts, 1):
                yield f"{run} is one attempt too many"
            if run.attempt > 1:
                yield from self._unfounded_retry(write, run)
            if self._needs_retry(write, run) and not self._attempt(run, run.attempt + 1):
                yield f"{run} failed and was not tried again"

    def _unfounded_retry(self, write: Write, run: Run) -> Iterator[str]:
        before = self._attempt(run, run.attempt - 1)
        answer = before and self.answers.get(before.instance)
        if not answer or not answer.failed or answer.offset > run.offset:
            yield f"{run} is a retry, but nothing had failed"
        elif run.at < answer.at + write.backoff:
            yield f"{run} came {run.at - answer.at} ms after the failure"

    def _needs_retry(self, write: Write, run: Run) -> bool:
        answer = self.answers.get(run.instance)
        return bool(
            answer
            and answer.failed
            and run.attempt < write.attempts
            and self._end_begins(write) == FOREVER
        )

    def _after_the_end(self) -> Iterator[str]:
        for write, run in self._all_runs():
            ended = self._end_answered(write)
            if run.at > ended:
                yield f"{run} came {run.at - ended} ms after its end was answered"

    def _announcements(self) -> Iterator[str]:
        for write in self.writes.values():
            count = self.created[write.tag]
            if write.trigger is Trigger.NOW:
                if count:
                    yield f"{write} was announced"
            elif count > 1:
                yield f"{write} was announced {count} times"
            elif not count and write.outcome is Outcome.ACKNOWLEDGED:
                yield f"{write} was never announced"
            elif not count and self._ran(write):
                yield f"{write} ran, but was never announced"
        for job_id, events in self.events.items():
            yield from self._order_of(job_id, events)

    def _order_of(self, job_id: str, events: list[Announcement]) -> Iterator[str]:
        """Created and deleted take turns, versions come in order, a deletion has its reason."""
        kinds = [event.tag is not None for event in events]
        if kinds != [number % 2 == 0 for number in range(len(kinds))]:
            yield f"{job_id} was announced in the order {[event.tag for event in events]}"
            return
        tags = [event.tag for event in events if event.tag]
        known = [step.tag for step in self.steps.get(job_id, ()) if isinstance(step, Write)]
        if tags != [tag for tag in known if tag in tags]:
            yield f"{job_id} was announced as {tags}, but written as {known}"
        for created, _ in zip(events[::2], events[1::2], strict=False):
            write = self.writes.get(created.tag or "")
            if write and not self._may_have_ended(write):
                yield f"{write} was announced as deleted without a reason"

    def _living(self) -> Iterator[str]:
        for job_id, steps in self.steps.items():
            events = self.events.get(job_id, [])
            announced = bool(events) and events[-1].tag is not None
            if announced != (job_id in self.observed.living):
                yield f"{job_id} is {'announced' if announced else 'gone'}, Read says otherwise"
            last = steps[-1]
            if announced and isinstance(last, Removal) and last.outcome is Outcome.ACKNOWLEDGED:
                yield f"{job_id} lives, although {last}"
            write = self.writes.get(events[-1].tag or "") if announced else None
            if write and self._is_finished(write):
                yield f"{job_id} lives, although its last run was answered"
        for job_id in self.observed.living - {*self.steps}:
            yield f"nobody asked for {job_id}"

    # --- what follows from the history ---

    def _all_runs(self) -> Iterator[tuple[Write, Run]]:
        for tag, runs in self.runs.items():
            if tag in self.writes:
                for run in runs:
                    yield self.writes[tag], run

    def _ran(self, write: Write) -> list[Run]:
        return self.runs.get(write.tag, [])

    def _attempt(self, run: Run, attempt: int) -> Run | None:
        for other in self.runs[run.tag]:
            if (other.nominal, other.attempt) == (run.nominal, attempt):
                return other
        return None

    def _must_have_happened(self, write: Write) -> bool:
        return write.outcome is Outcome.ACKNOWLEDGED or self.created[write.tag] > 0

    def _later_steps(self, write: Write) -> Iterator[Step]:
        steps = self.steps[write.job_id]
        for step in steps[steps.index(write) + 1 :]:
            if step.outcome is not Outcome.REFUSED:
                yield step

    def _end_begins(self, write: Write) -> int:
        """From when on the version may have been ended by a later step."""
        return min((step.begun for step in self._later_steps(write)), default=FOREVER)

    def _end_answered(self, write: Write) -> int:
        """From when on the version has certainly ended."""
        return min(
            (
                step.answered
                for step in self._later_steps(write)
                if step.outcome is Outcome.ACKNOWLEDGED
            ),
            default=FOREVER,
        )

    def _may_have_ended(self, write: Write) -> bool:
        return self._end_begins(write) < FOREVER or self._is_finished(write)

    def _is_finished(self, write: Write) -> bool:
        """A one-time job whose last answer was given."""
        if write.trigger is Trigger.INTERVAL:
            return False
        answers = [(run, self.answers.get(run.instance)) for run in self._ran(write)]
        return any(
            answer and (not answer.failed or run.attempt >= write.attempts)
            for run, answer in answers
        )
