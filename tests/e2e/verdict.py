"""Whether a lane's promises were kept: what clients were told against what is on the topics."""

from collections.abc import Iterator

from chaos import checker
from chaos.history import Quiet, Seen, Settings
from tests.client import contract
from tests.client.topics import TopicReader
from tests.e2e.lane import HELD, Lane, until
from tests.e2e.product import now_ms
from tests.harness.leaks import leaked_keys
from tests.harness.waiting import PATIENCE_SECONDS, eventually

LONG = 60_000
"""Completion timeouts from here on are not waited for."""
WINDOW = 3_600_000
"""The catch-up window, in milliseconds: see `PATIENT`."""
BACKOFFS = 500
"""Milliseconds that a run takes with its answer and its retry."""


def violations(lane: Lane, timeout: int) -> list[str]:
    """Let all end that can, then look at the topics; empty when the promises were kept."""
    lane.history.settings = Settings(
        completion_timeout=timeout, delivery=lane.delivery, catch_up_window=WINDOW
    )
    if timeout < LONG:
        eventually(lambda: not waiting(lane), what="all runs without an answer have failed")
    complete = now_ms() - BACKOFFS
    lane.settle()
    for run in lane.worker.queued:
        job = run.parse(contract.ScheduledJob)
        if job.type == HELD:
            lane.sender.send(lane.names.jobs, "jobDone", contract.JobDone(id=job.id))
    lane.settle()
    lane.heal()  # a failpoint with a delay may kill after its cell has ended
    with lane.store.client() as store:  # what a caller has left half done, the owner ends
        lists = f"{lane.names.namespace}:{{0}}:lists"
        eventually(lambda: not store.exists(lists), what="no long list")
    lane.settle()
    living = tuple(job.id for job in lane.clients[0].read().items)
    lane.history.quiet = Quiet(complete, complete, living)
    lane.history.records = list(records(lane))
    found = [f"{each.category}: {each.text}" for each in checker.violations(lane.history)]
    return [*found, *dead_letters(lane), *ends_well(lane)]


def waiting(lane: Lane) -> int:
    """How many runs are unanswered or still to come."""
    with lane.store.client() as store:
        base = f"{lane.names.namespace}:{{0}}:"
        return sum(store.zcard(base + name) for name in ("due", "running"))


def records(lane: Lane) -> Iterator[Seen]:
    """All that a read_committed consumer has."""
    names = ("jobs", "resources", "commands", "dead_letter")
    topics = dict(zip(lane.names.topics, names, strict=True))
    with TopicReader(lane.kafka.bootstrap, *lane.names.topics) as reader:
        for record in reader.drain():
            yield Seen(
                topics[record.topic],
                record.offset,
                record.timestamp,
                record.key,
                record.value,
                record.headers,
            )


def dead_letters(lane: Lane) -> Iterator[str]:
    """One for each record that nobody can read."""
    letters = [record for record in lane.history.records if record.topic == "dead_letter"]
    offsets = [letter.headers["offset"] for letter in letters]
    if len(offsets) != lane.buried or len({*offsets}) != len(offsets):
        yield f"{lane.buried} records cannot be read, the dead letters are of {offsets}"


def ends_well(lane: Lane) -> Iterator[str]:
    """All serve, nothing is left in Redis after a reset, and they end as they should."""
    if not until(lambda: all(each.is_serving() for each in lane.replicas), PATIENCE_SECONDS):
        yield "a replica does not serve"
    lane.clients[0].command("reset")
    with lane.store.client() as store:
        try:
            eventually(lambda: not leaked_keys(store, lane.names, idle=True), what="no keys")
        except TimeoutError:
            yield f"left over: {leaked_keys(store, lane.names, idle=True)}"
    for replica in lane.replicas:
        replica.stop()
