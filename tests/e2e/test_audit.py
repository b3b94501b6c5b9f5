"""`scheduling-srv audit` on real topics: it names what is wrong, and touches nothing."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import pytest
from confluent_kafka import Consumer, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from scheduling_srv.cli import main as cli
from tests.client import contract
from tests.client.contract import Backoff
from tests.client.topics import Record, TopicReader, group_members, make_topic
from tests.e2e.conftest import deployed
from tests.e2e.product import Product, Run, now_ms, rfc3339, until
from tests.harness.given import GivenStore, Kafka, Store
from tests.harness.names import Names
from tests.harness.ports import free_port
from tests.harness.waiting import PATIENCE_SECONDS
from tests.harness.windows import with_enough_time

GRACE = 10_000
"""Milliseconds: what is younger than that may still come, says the audit."""
KIND, JOB, ATTEMPT = "kind", "job_id", "attempt"


@dataclass(frozen=True)
class Story:
    """What a deployment has done; it is stopped, and all of it is old enough to be judged."""

    product: Product
    began: int
    ended: int
    """Before it was stopped: runs due until then are there, later ones may be."""
    records: tuple[Record, ...]
    """Of the jobs topic, jobs.resource and the journal."""

    @property
    def window(self) -> tuple[str, ...]:
        return ("--since", rfc3339(self.began), "--until", rfc3339(self.ended))

    @property
    def settings(self) -> dict[str, str]:
        return self.product.service.settings

    @property
    def names(self) -> Names:
        return self.product.names

    @property
    def topics(self) -> set[str]:
        """All that the deployment has made."""
        own = {f"{self.names.namespace}.{name}" for name in ("journal", "position", "events")}
        return {*self.names.topics, *own}

    def runs(self, job_id: str) -> list[Record]:
        return [
            each
            for each in self.records
            if each.key == "queuedJob" and each.headers["job-id"] == job_id
            if each.timestamp >= self.began
        ]


def journal_of(names: Names) -> str:
    return f"{names.namespace}.journal"


@pytest.fixture(scope="module")
def story(kafka: Kafka, valkey: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    directory = tmp_path_factory.mktemp("audit")
    settings = {"lease": "1s", "shards": "2"}
    with deployed(directory, kafka, valkey, settings) as product:
        began = with_enough_time(lambda window: stop_before_a_job(product, window), 2_000)
        ended = live(product)
        product.service.stop()
        topics = (product.names.jobs, product.names.resources, journal_of(product.names))
        with TopicReader(product.bootstrap, *topics) as reader:
            records = tuple(reader.drain())
        yield Story(product, began, ended, records)
        product.service.start()


def stop_before_a_job(product: Product, window: int) -> int:
    """One job is late, as no service ran when it was due; answers when this began."""
    began = now_ms()
    due = product.create_in(window, contract.job(id="late", type="late"))
    product.end_before(due, "late", end="stop")
    until(due + 1_500)
    product.service.start()
    product.attempt("late", due, 1)
    return began


def live(product: Product) -> int:
    """Jobs of every kind; answers until when all that was due has run.

    Those that are to lose their runs are not answered: a job that has been deleted since, as an
    answer does, may have been deleted before its run.
    """
    product.client.create(
        contract.job(type="now", now=True),
        contract.job(id="done", type="done", when="in 200 ms"),
        contract.job(id="once", type="once", when="in 300 ms"),
        contract.job(id="tick", type="tick", interval="500 ms"),
        contract.job(id="cron", type="cron", interval="* * * * * *"),
        contract.job(id="held", type="held", interval="500 ms", parallel=1),
        contract.job(
            id="again", type="again", when="in 300 ms", attempts=2, backoff=Backoff(delay=50)
        ),
        contract.job(id="deleted", type="deleted", when="in 1 second"),
    )
    product.client.delete("deleted")
    for kind in ("now", "done"):
        product.done(product.run(kind))
    product.deleted("done")
    product.run("once")
    product.failed(product.run("again"))
    product.run("again", 2)
    until(now_ms() + GRACE + 1_000)
    ended = now_ms()
    for kind in ("tick", "cron"):
        product.reader.wait_for(lambda record, kind=kind: is_run_after(record, kind, ended))  # type: ignore[misc]
    return ended


def is_run_after(record: Record, job_id: str, instant: int) -> bool:
    """Whether this is a run of the job that was due later."""
    return (
        record.key == "queuedJob"
        and record.headers["job-id"] == job_id
        and Run(record, None).nominal > instant
    )


def audit(settings: Mapping[str, str], *options: str) -> tuple[int, str, str]:
    """Exit code, what it prints, and what it complains about."""
    out, err = io.StringIO(), io.StringIO()
    with environment(settings), redirect_stdout(out), redirect_stderr(err):
        code = cli.main(["audit", *options])
    return code, out.getvalue(), err.getvalue()


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """These settings and no other ones."""
    with mock.patch.dict(os.environ, settings):
        for name in {name for name in os.environ if name.startswith("SCHEDULING_")} - {*settings}:
            del os.environ[name]
        yield


def findings(
    story: Story, settings: Mapping[str, str] | None = None
) -> tuple[int, list[dict[str, Any]], Any]:
    """Exit code, what is worse than late or waiting, and the whole report."""
    code, out, err = audit(settings or story.settings, *story.window, "--json")
    assert err == ""
    report = json.loads(out)
    bad = [each for each in report["findings"] if each[KIND] not in {"late", "waiting"}]
    return code, bad, report


# --- what happened is well ---


def test_what_a_deployment_has_done_is_clean(story: Story) -> None:
    code, bad, report = findings(story)
    assert (code, bad) == (0, [])
    emitted = [
        each
        for each in story.records
        if each.key == "queuedJob"
        if each.timestamp >= story.began
        if Run(each, None).nominal <= story.ended
    ]
    first = [each for each in emitted if each.headers["attempt"] == "1"]
    assert report["runs"] == len(first)
    assert len(emitted) == len(first) + 1


def test_a_run_is_late_if_nobody_was_there(story: Story) -> None:
    """It is named; being late breaks no promise."""
    _, _, report = findings(story)
    late = [each for each in report["findings"] if each[KIND] == "late"]
    assert "late" in {each[JOB] for each in late}
    assert report["late"] == len(late)
    assert report["lateness_ms"]["max"] > 1_500


def test_a_run_that_is_held_back_is_not_missing(story: Story) -> None:
    """Its first run was never answered, and `parallel` is 1."""
    assert len(story.runs("held")) == 1
    _, _, report = findings(story)
    assert {each[JOB] for each in report["findings"] if each[KIND] == "waiting"} == {"held"}


def test_people_can_read_it(story: Story) -> None:
    code, out, _ = audit(story.settings, *story.window, "--late", "1s")
    assert code == 0
    assert "clean: every run is there, once, not early" in out
    assert "late     " in out


# --- what is wrong is named ---

Change = Callable[[Record], list[Record]]


def audit_of_a_copy(story: Story, change: Change) -> tuple[int, list[dict[str, Any]]]:
    """The story once more on topics of its own, with some records changed, and its audit.

    The copy keeps the records' timestamps.
    """
    names = Names.unique()
    copies = {
        story.names.jobs: names.jobs,
        story.names.resources: names.resources,
        journal_of(story.names): journal_of(names),
    }
    producer = Producer({"bootstrap.servers": story.product.bootstrap})
    for topic in copies.values():
        make_topic(story.product.bootstrap, topic, partitions=2)
    for record in (copy for each in story.records for copy in change(each)):
        tombstone = record.topic == journal_of(story.names) and not record.value
        producer.produce(
            copies[record.topic],
            None if tombstone else record.value,
            record.key,
            partition=record.partition,
            headers=list(record.headers.items()),
            timestamp=record.timestamp,
        )
    assert producer.flush(PATIENCE_SECONDS) == 0
    code, bad, _ = findings(story, {**story.settings, **names.environment()})
    return code, bad


def test_an_unchanged_copy_is_clean(story: Story) -> None:
    assert audit_of_a_copy(story, lambda record: [record]) == (0, [])


@pytest.mark.parametrize("job_id", ["late", "once", "tick", "cron"])
def test_a_run_that_is_gone_is_missing(story: Story, job_id: str) -> None:
    gone = story.runs(job_id)[0]
    code, [found] = audit_of_a_copy(story, lambda record: [] if record == gone else [record])
    assert code == 1
    assert (found[KIND], found[JOB], found[ATTEMPT]) == ("missing", job_id, 1)
    assert found["nominal"] == gone.headers["nominal-time"]


def test_a_retry_that_is_gone_is_missing(story: Story) -> None:
    gone = story.runs("again")[1]
    code, [found] = audit_of_a_copy(story, lambda record: [] if record == gone else [record])
    assert code == 1
    assert (found[KIND], found[JOB], found[ATTEMPT]) == ("missing", "again", 2)


def test_a_run_is_missing_also_if_only_the_journal_knows_its_job(story: Story) -> None:
    gone = story.runs("tick")[1]

    def change(record: Record) -> list[Record]:
        forgotten = record.key == "jobsCreated" and record.headers["job-id"] == "tick"
        return [] if forgotten or record == gone else [record]

    code, [found] = audit_of_a_copy(story, change)
    assert code == 1
    assert (found[KIND], found[JOB]) == ("missing", "tick")
    assert found["nominal"] == gone.headers["nominal-time"]


def test_a_run_that_is_there_twice_is_doubled(story: Story) -> None:
    twice = story.runs("once")[0]
    code, [found] = audit_of_a_copy(story, lambda each: [each] * (2 if each == twice else 1))
    assert code == 1
    assert (found[KIND], found[JOB]) == ("doubled", "once")


def test_a_run_a_millisecond_before_its_time_is_early(story: Story) -> None:
    early = story.runs("once")[0]
    nominal = Run(early, None).nominal

    def change(record: Record) -> list[Record]:
        return [replace(record, timestamp=nominal - 1) if record == early else record]

    code, [found] = audit_of_a_copy(story, change)
    assert code == 1
    assert (found[KIND], found[JOB], found["detail"]) == ("early", "once", "1 ms early")


# --- it only reads ---


def everything(story: Story) -> dict[str, object]:
    """Whatever an audit could have changed."""
    with GivenStore(story.product.service.redis_url).client() as client:
        client.connection_pool.connection_kwargs["decode_responses"] = False
        patterns = (f"{story.names.namespace}:*", f"{story.names.client_id}:*")
        keys = sorted(key for pattern in patterns for key in client.scan_iter(match=pattern))
        dumps = [client.dump(key) for key in keys]
    with AdminClient({"bootstrap.servers": story.product.bootstrap}) as admin:
        topics = admin.list_topics(timeout=PATIENCE_SECONDS).topics
        own = [name for name in topics if name in story.topics]
        places = {TopicPartition(name, 0): OffsetSpec.latest() for name in own}
        ends = admin.list_offsets(places, isolation_level=IsolationLevel.READ_UNCOMMITTED)
        return {
            "keys": dict(zip(keys, dumps, strict=True)),
            "partitions": {name: len(topics[name].partitions) for name in own},
            "ends": {each.topic: end.result(PATIENCE_SECONDS).offset for each, end in ends.items()},
            "committed": committed(story),
        }


def names_in(story: Story) -> set[str]:
    """All topics and groups of the Kafka, which other tests may have left to end by themselves."""
    with AdminClient({"bootstrap.servers": story.product.bootstrap}) as admin:
        topics = admin.list_topics(timeout=PATIENCE_SECONDS).topics
    return {*topics, *group_members(story.product.bootstrap)}


def committed(story: Story) -> dict[str, int]:
    """The offsets of the service's consumer group."""
    group = {"bootstrap.servers": story.product.bootstrap, "group.id": story.names.group_id}
    with Consumer(group) as consumer:
        places = [TopicPartition(story.names.jobs, 0), TopicPartition(story.names.commands, 0)]
        found = consumer.committed(places, timeout=PATIENCE_SECONDS)
    return {str(each.topic): each.offset for each in found if each.offset >= 0}


def test_it_changes_nothing(story: Story) -> None:
    before, names = everything(story), names_in(story)
    assert before["keys"]
    assert before["committed"]
    audit(story.settings, "--since", "1h")
    assert everything(story) == before
    assert names_in(story) <= names


# --- as an operator uses it ---


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--since", "yesterday"), "'yesterday' is neither a duration such as 1h nor an instant"),
        (("--since", "1516012200000"), "is neither a duration such as 1h nor an instant"),
        (("--since", ""), "is neither a duration such as 1h nor an instant"),
        (("--since", "99999999d"), "is before 1970"),
        (("--since", "0001-01-01"), "is before 1970"),
        (("--since", "1h", "--until", "2h"), "--since is after --until"),
        (("--until", "2999-01-01T00:00:00Z"), "--until is in the future"),
        (("--late", "soon"), "'soon' is not a duration"),
        (("--nonsense",), "--nonsense"),
    ],
    ids=str,
)
def test_a_wrong_command_line_is_one_sentence(options: tuple[str, ...], sentence: str) -> None:
    code, out, err = audit({}, *options)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    nowhere = {"SCHEDULING_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}
    code, out, err = audit(nowhere)
    assert (code, out) == (2, "")
    assert "Kafka does not answer" in err
    assert err.count("\n") == 1


def test_topics_that_are_not_there_are_one_sentence(story: Story) -> None:
    """And they are not made by asking for them."""
    names = Names.unique()
    code, out, err = audit({**story.settings, **names.environment()})
    assert (code, out) == (2, "")
    assert names.resources in err
    assert err.count("\n") == 1
    with AdminClient({"bootstrap.servers": story.product.bootstrap}) as admin:
        assert names.resources not in admin.list_topics(timeout=PATIENCE_SECONDS).topics


def test_help_says_what_it_does() -> None:
    command = [sys.executable, "-m", "scheduling_srv", "audit", "--help"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for option in ("--since", "--until", "--late", "--config", "--json"):
        assert option in out
    assert "Only reads" in out
