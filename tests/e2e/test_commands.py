"""The four commands over both transports, with their Response events (docs/contract.md)."""

import base64
import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import grpc
import pytest

from tests.client import contract
from tests.client.contract import JobFilter, payload
from tests.client.grpc_client import COMMAND, Refusal
from tests.client.topics import Sender, delete_records, make_topic
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh, now_ms, tomorrow, until
from tests.harness.given import Kafka
from tests.harness.names import Names
from tests.harness.waiting import eventually
from tests.harness.windows import in_time, with_enough_time

SERVICES = [
    "io-restorecommerce-scheduling-srv",
    "io-restorecommerce-scheduling-cis",
    "io-restorecommerce-scheduling-reflection",
]
EVENTS = {
    "health_check": ("healthCheckCommand", "healthCheckResponse"),
    "version": ("versionCommand", "versionResponse"),
    "reset": ("resetCommand", "resetResponse"),
    "restore": ("restoreCommand", "restoreResponse"),
}


def response(
    product: Product, event: str, after: int, *, services: Sequence[str] = SERVICES
) -> Any:
    """The JSON of the first such Response event at or behind offset `after`."""
    record = product.reader.wait_for(
        lambda record: (
            record.topic == product.names.commands
            and record.key == event
            and record.offset >= after
        )
    )
    message = record.parse(contract.CommandResponse)
    assert list(message.services) == [*services]
    assert message.payload.type_url == "payload"
    return json.loads(message.payload.value)


COMMANDS = re.compile(r"\bcommands\W+(\d+)")
"""The number of restores that a pass has carried out, in its log line."""


class Transport:
    """Runs a command one way or the other; answers its result as the Response event has it."""

    def __init__(self, product: Product, *, by_grpc: bool) -> None:
        self.product = product
        self.by_grpc = by_grpc

    def run(
        self,
        name: str,
        request: Any = None,
        *,
        services: Sequence[str] = SERVICES,
    ) -> Any:
        """`request`: JSON, bytes as they are, or None for no payload at all.

        The Response event must name `services`.
        """
        command, event = EVENTS[name]
        raw = request if isinstance(request, bytes | None) else json.dumps(request).encode()
        message = contract.CommandRequest(name=name)
        if raw is not None:
            message.payload.CopyFrom(payload(raw))
        after = self.product.end_of(self.product.names.commands)
        if not self.by_grpc:
            self.product.sender.send(self.product.names.commands, command, message)
            return response(self.product, event, after, services=services)
        answer = self.product.client.call(COMMAND, message.SerializeToString())
        result = contract.AnyMessage.FromString(answer)
        assert result.type_url == "payload"
        told = response(self.product, event, after, services=services)
        if name == "restore":
            assert json.loads(result.value) == {}
        else:
            assert json.loads(result.value) == told
        return told


@pytest.fixture(params=["grpc", "events"])
def command(request: pytest.FixtureRequest, product: Product) -> Transport:
    return Transport(product, by_grpc=request.param == "grpc")


def later(**fields: Any) -> Any:
    return contract.job(**{"when": tomorrow(), **fields})


# --- health_check and version ---


def assert_becomes_serving(command: Transport, request: Any, **options: Any) -> None:
    """Each answer is a status; on a busy machine it is not SERVING all the time."""

    def is_serving() -> bool:
        answer = command.run("health_check", request, **options)
        assert answer in ({"status": "SERVING"}, {"status": "NOT_SERVING"})
        return bool(answer["status"] == "SERVING")

    eventually(is_serving, what="SERVING")


@pytest.mark.parametrize("request_", [None, {}])
def test_health_check_says_serving(command: Transport, request_: Any) -> None:
    assert_becomes_serving(command, request_)


@pytest.mark.parametrize("name", SERVICES)
def test_the_response_to_a_health_check_of_one_service_names_only_that_one(
    command: Transport, name: str
) -> None:
    assert_becomes_serving(command, {"service": name}, services=[name])


def test_health_of_an_unknown_service_is_an_error(command: Transport) -> None:
    answer = command.run("health_check", {"service": "nope"})
    assert answer == {"error": "Service nope does not exist"}


def test_version_names_package_and_runtime(command: Transport) -> None:
    answer = command.run("version")
    assert sorted(answer) == ["nodejs", "python", "version"]
    assert answer["nodejs"] == answer["python"]  # clients of 2018 read it
    assert all(part.isdigit() for part in answer["python"].split(".")[:2])
    assert answer["version"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b' { "service" : "" } ',
        base64.b64encode(b'{"service": ""}'),
    ],
)
def test_payloads_are_json_or_base64_of_json(command: Transport, raw: bytes) -> None:
    assert_becomes_serving(command, raw)


def test_the_type_url_of_a_payload_is_ignored(product: Product) -> None:
    request = contract.CommandRequest(name="version", payload=payload("{}", "whatever/x"))
    product.client.call(COMMAND, request.SerializeToString())


def test_the_name_decides_not_the_key(product: Product) -> None:
    """`name` decides, on both transports."""
    after = product.end_of(product.names.commands)
    request = contract.CommandRequest(name="version", payload=payload("{}"))
    product.sender.send(product.names.commands, "healthCheckCommand", request)
    assert "python" in response(product, "versionResponse", after)


# --- faults ---


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("", b"{}"),
        ("nope", b"{}"),
        ("version", b"not json"),
        ("version", b"[1]"),
        ("health_check", b'{"service": '),
        ("restore", b"{}"),
        ("restore", b'{"jobs": {"offset": -1}}'),
        ("restore", b'{"jobs": {"offset": "first"}}'),
        ("restore", b'{"jobs": 7}'),
        ("restore", b'{"topics": [{"topic": "another", "offset": 0}]}'),
    ],
)
def test_a_faulty_command_is_refused_with_a_sentence(
    product: Product, name: str, raw: bytes
) -> None:
    request = contract.CommandRequest(name=name, payload=payload(raw)).SerializeToString()
    with pytest.raises(Refusal) as refusal:
        product.client.call(COMMAND, request)
    assert refusal.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(refusal.value.message) > 10

    after = product.end_of(product.names.commands)
    product.sender.send(
        product.names.commands, EVENTS.get(name, ("versionCommand", ""))[0], request
    )
    answer = response(product, EVENTS.get(name, ("", "versionResponse"))[1], after)
    assert answer == {"error": refusal.value.message}


def test_a_response_on_the_topic_is_not_a_command(product: Product) -> None:
    """The service reads the topic that it writes to: what it writes must not come back."""
    request = contract.CommandRequest(name="version", payload=payload("{}"))
    product.sender.send(product.names.commands, "versionResponse", request)
    answered = len(product.reader.of("healthCheckResponse"))
    Transport(product, by_grpc=False).run("health_check")
    product.end_of(product.names.commands)
    last = product.reader.of("healthCheckResponse")[answered]
    before = [each for each in product.reader.of("versionResponse") if each.offset < last.offset]
    assert before[-1].value == request.SerializeToString()


# --- reset ---


def test_reset_deletes_all_jobs_and_instances(command: Transport) -> None:
    product, kind = command.product, fresh("type")
    product.client.create(
        later(),
        contract.job(interval="1 day"),
        contract.job(type=kind, now=True, parallel=1),
        contract.job(type=kind, now=True, parallel=1),
    )
    run = product.run(kind)
    assert command.run("reset") == {"status": "Reset concluded successfully"}
    assert product.client.read().total_count == 0
    product.done(run)
    product.settle()
    assert len(product.runs_so_far(kind)) == 1


def test_after_a_reset_nothing_of_before_is_queued(product: Product) -> None:
    def attempt(window: int) -> None:
        kind, later_kind = fresh("type"), fresh("type")
        due = product.create_in(window, contract.job(type=kind))
        product.client.create(contract.job(type=kind, interval="300 ms"))
        product.client.command("reset")
        in_time(now_ms() < due, "the reset came before the job was due")
        count = len(product.runs_so_far(kind))
        until(due)
        product.create_in(500, contract.job(type=later_kind))
        product.done(product.run(later_kind))
        assert len(product.runs_so_far(kind)) == count

    with_enough_time(attempt, 800)


def test_ids_are_free_again_after_a_reset(product: Product) -> None:
    job_id = fresh()
    product.client.create(later(id=job_id))
    product.client.command("reset")
    product.client.create(later(id=job_id))
    assert product.living(job_id) == [job_id]
    product.client.delete(job_id)
    assert product.living(job_id) == []


# --- restore ---


class History:
    """What happened on jobs.resource since a moment; tests share the topic."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.start = product.end_of(product.names.resources)

    def offset_of(self, event: str, job_id: str) -> int:
        find = self.product.created if event == "jobsCreated" else self.product.deleted
        find(job_id)
        [offset] = [
            record.offset
            for record in self.product.resources()
            if record.key == event
            and record.offset >= self.start
            and record.parse(contract.Job).id == job_id
        ]
        return offset

    def restore(self, command: Transport, *ignore: int) -> Any:
        request = {"jobs": {"offset": self.start, "ignore_offset": list(ignore)}}
        return command.run("restore", request)


def test_restore_puts_jobs_back_with_their_ids(command: Transport) -> None:
    product = command.product
    history = History(product)
    kept, gone, recurring = (fresh() for _ in range(3))
    jobs = [later(id=kept), later(id=gone), contract.job(id=recurring, interval="1 day")]
    stored = product.client.create(*jobs)
    product.client.delete(gone)
    last = product.end_of(product.names.resources) - 1
    product.client.command("reset")
    answer = history.restore(command)
    assert sorted(answer) == ["offset", "topic"]
    assert answer["topic"] == product.names.resources
    assert answer["offset"] >= last
    found = product.client.read(sort=1, filter=JobFilter(jobs_ids=[kept, gone, recurring])).items
    assert list(found) == [stored.items[0], stored.items[2]]


def test_a_restored_job_runs_at_its_time(command: Transport) -> None:
    """A job whose time has passed is left out."""
    product = command.product

    def attempt(window: int) -> None:
        kind = fresh("type")
        history = History(product)
        due = product.create_in(window, contract.job(type=kind))
        product.client.command("reset")
        history.restore(command)
        in_time(now_ms() < due, "the job was restored before it was due")
        run = product.run(kind)
        run.assert_not_early(due)
        product.done(run)
        product.deleted(run.job_id)

    with_enough_time(attempt, 3_000)


def test_restore_announces_nothing(product: Product) -> None:
    history = History(product)
    kept, gone = fresh(), fresh()
    product.client.create(later(id=kept), later(id=gone))
    product.client.delete(gone)
    before = product.resource_events(kept, gone)
    product.client.command("reset")
    history.restore(Transport(product, by_grpc=True))
    product.settle()
    assert product.resource_events(kept, gone) == before


def test_ignored_offsets_are_skipped(command: Transport) -> None:
    """A skipped jobsCreated keeps its job out; a skipped jobsDeleted brings its job back."""
    product = command.product
    history = History(product)
    out, back, stays = (fresh() for _ in range(3))
    product.client.create(*(later(id=job_id) for job_id in (out, back, stays)))
    product.client.delete(back)
    product.client.command("reset")
    history.restore(
        command, history.offset_of("jobsCreated", out), history.offset_of("jobsDeleted", back)
    )
    assert product.living(out, back, stays) == sorted([back, stays])


def test_restore_begins_at_its_offset(command: Transport) -> None:
    product = command.product
    before, after = fresh(), fresh()
    product.client.create(later(id=before))
    history = History(product)
    product.client.create(later(id=after))
    product.client.command("reset")
    history.restore(command)
    assert product.living(before, after) == [after]


def test_an_ignored_last_record_does_not_keep_restore_from_ending(command: Transport) -> None:
    product = command.product
    history = History(product)
    job_id, last = fresh(), fresh()
    product.client.create(later(id=job_id))
    product.client.create(later(id=last))
    product.client.command("reset")
    history.restore(command, history.offset_of("jobsCreated", last))
    assert product.living(job_id, last) == [job_id]


def test_stray_records_do_not_keep_restore_from_ending(command: Transport) -> None:
    """Unknown keys, no key, no value, and what is no protobuf."""
    product = command.product
    history = History(product)
    job_id = fresh()
    product.client.create(later(id=job_id))
    for key, value in [
        ("stray", b"\xff\xff"),
        (None, b"x"),
        ("jobsCreated", b"\xff\xff\xff"),
        ("jobsCreated", b""),
        ("jobsDeleted", b""),
        ("jobsCreated", contract.Job(id=fresh(), type="t", interval="sometimes")),
        ("queuedJob", contract.ScheduledJob(id=7)),
    ]:
        product.sender.send(product.names.resources, key, value)
    product.client.command("reset")
    answer = history.restore(command)
    assert "offset" in answer
    assert product.living(job_id) == [job_id]
    assert product.client.read().total_count == 1


def test_restore_over_a_live_store_changes_nothing(product: Product) -> None:
    """Ids, phases, and unanswered runs stay as they are, however often it is run."""
    history = History(product)
    waiting, recurring, running = (fresh() for _ in range(3))
    kind, running_kind = fresh("type"), fresh("type")
    product.client.create(
        later(id=waiting),
        contract.job(id=recurring, type=kind, interval="500 ms"),
        contract.job(id=running, type=running_kind, when="in 100 ms"),
    )
    first, run = product.run(kind), product.run(running_kind)
    before = product.resource_events(waiting, recurring, running)
    for _ in range(2):
        history.restore(Transport(product, by_grpc=True))
    answer = product.client.read(sort=1, filter=JobFilter(jobs_ids=[waiting, recurring, running]))
    assert [job.id for job in answer.items] == [waiting, recurring, running]
    count = len(product.runs_so_far(kind))
    runs = product.runs(kind, count + 2)
    assert [each.nominal - first.nominal for each in runs] == [
        500 * number for number in range(len(runs))
    ]
    assert len(product.runs_so_far(running_kind)) == 1
    assert product.resource_events(waiting, recurring, running) == before
    product.done(run)
    product.deleted(running)
    product.client.delete(recurring)


def test_restore_leaves_out_when_jobs_whose_time_has_passed(product: Product) -> None:
    history = History(product)
    passed, future, kind = fresh(), fresh(), fresh("type")
    product.client.create(
        contract.job(id=passed, type=kind, when="in 100 ms"), later(id=future, type=kind)
    )
    product.run(kind)
    # More than the second that is granted to late clients.
    wait_kind = fresh("type")
    product.client.create(contract.job(type=wait_kind, when="in 1500 ms"))
    product.done(product.run(wait_kind))
    product.client.command("reset")
    history.restore(Transport(product, by_grpc=True))
    product.settle()
    assert product.living(passed, future) == [future]
    assert len(product.runs_so_far(kind)) == 1


@pytest.mark.parametrize("form", ["topics", "data"])
def test_the_other_forms_of_a_restore_request(command: Transport, form: str) -> None:
    product = command.product
    history = History(product)
    job_id, out = fresh(), fresh()
    product.client.create(later(id=job_id))
    product.client.create(later(id=out))
    ignore = [history.offset_of("jobsCreated", out)]
    topic = product.names.resources
    requests: dict[str, Any] = {
        "topics": [{"topic": topic, "offset": history.start, "ignore_offset": ignore}],
        "data": [{"entity": "jobs", "base_offset": history.start, "ignore_offset": ignore}],
    }
    product.client.command("reset")
    command.run("restore", {form: requests[form]})
    assert product.living(job_id, out) == [job_id]


def test_a_restored_schedule_survives_a_restart(deploy: Deploy, names: Names) -> None:
    """What was put back is as durable as any other job."""
    product = deploy()
    job_id = fresh()
    product.client.create(later(id=job_id))
    product.client.command("reset")
    Transport(product, by_grpc=True).run("restore", {"jobs": {}})
    product.service.kill()
    product.service.start()
    assert product.living(job_id) == [job_id]


def test_restore_of_an_empty_topic_ends(deploy: Deploy) -> None:
    product = deploy()
    answer = Transport(product, by_grpc=True).run("restore", {"jobs": {"offset": 0}})
    assert answer["topic"] == product.names.resources
    assert "error" not in answer


def test_restore_from_beyond_the_end_of_the_topic_is_an_error(command: Transport) -> None:
    """Before, the answer had an offset that the topic does not have."""
    product = command.product
    end = product.end_of(product.names.resources)
    answer = command.run("restore", {"jobs": {"offset": end + 1000}})
    topic = product.names.resources
    assert list(answer) == ["error"]
    assert re.fullmatch(
        rf"The topic {topic} ends at offset \d+: nothing to restore from {end + 1000}\.",
        answer["error"],
    )


def test_restore_begins_at_the_first_record_that_is_left(deploy: Deploy) -> None:
    """Retention has deleted the records before it."""
    product = deploy()
    gone, left = fresh(), fresh()
    product.client.create(later(id=gone))
    product.created(gone)
    first = product.end_of(product.names.resources)
    product.client.create(later(id=left))
    product.created(left)
    delete_records(product.bootstrap, product.names.resources, before=first)
    product.client.command("reset")
    answer = Transport(product, by_grpc=True).run("restore", {"jobs": {"offset": 0}})
    assert answer["offset"] >= first
    assert product.living(gone, left) == [left]


def test_equal_restores_share_a_pass(deploy: Deploy, kafka: Kafka, names: Names) -> None:
    """Each request has its Response event."""
    make_topic(kafka.bootstrap, names.resources)
    with Sender(kafka.bootstrap) as sender:
        for number in range(5_000):
            job = later(id=f"j{number}", when=tomorrow())
            sender.post(names.resources, "jobsCreated", job)
    product = deploy()
    product.service.stop()
    request = contract.CommandRequest(name="restore", payload=payload(b'{"jobs": {}}'))
    for _ in range(10):
        product.sender.send(names.commands, "restoreCommand", request)
    product.service.start()

    def answers() -> list[Any]:
        product.reader.drain()
        found = product.reader.of("restoreResponse")
        return [json.loads(each.parse(contract.CommandResponse).payload.value) for each in found]

    eventually(lambda: len(answers()) >= 10, what="ten answers")
    assert answers() == [{"topic": names.resources, "offset": 4_999}] * 10

    def passes() -> list[int]:
        """So many commands as each of them has carried out; they are logged at its end."""
        lines = product.service.log.read_text().splitlines()
        return [int(found[1]) for line in lines if (found := COMMANDS.search(line))]

    eventually(lambda: sum(passes()) >= 10, what="the lines of all passes")
    assert sum(passes()) == 10
    assert len(passes()) <= 3
    assert product.client.read(limit=1).total_count == 5_000


def test_restore_reads_a_hundred_thousand_events(
    deploy: Deploy, kafka: Kafka, names: Names
) -> None:
    """60,000 jobs were created and 40,000 of them deleted, some of them created again."""
    make_topic(kafka.bootstrap, names.resources)
    when = tomorrow()
    with Sender(kafka.bootstrap) as sender:
        for number in range(60_000):
            job = later(id=f"j{number}", when=when)
            sender.post(names.resources, "jobsCreated", job)
            if number % 3:
                sender.post(names.resources, "jobsDeleted", contract.Deleted(id=f"j{number - 1}"))
    product = deploy()
    answer = Transport(product, by_grpc=True).run("restore", {"jobs": {"offset": 0}})
    assert answer == {"topic": names.resources, "offset": 99_999}
    assert product.client.read(limit=1).total_count == 20_000
    assert product.living("j0", "j1", "j2", "j3") == ["j2"]
    product.client.command("reset")
    eventually(lambda: product.client.read(limit=1).total_count == 0, what="reset")


def logged_by(product: Product, act: Callable[[], object], event: str) -> str:
    """The one line of this event that follows the act."""
    size = len(product.service.log.read_text())

    def lines() -> list[str]:
        whole, _, _ = product.service.log.read_text()[size:].rpartition("\n")
        return [each for each in whole.splitlines() if event in each]

    act()
    eventually(lambda: lines() != [], what=event)
    (line,) = lines()
    return line


def test_the_log_names_the_caller_of_a_reset(product: Product, command: Transport) -> None:
    reset, event = partial(command.run, "reset"), "a reset deleted all jobs"
    logged_by(product, reset, event)
    product.client.create(later(id="a"), later(id="b"))
    line = logged_by(product, reset, event)
    caller = r"ipv4:127\.0\.0\.1:\d+" if command.by_grpc else rf"{product.names.commands}:0@\d+"
    assert re.search(caller, line), line
    assert re.search(r"\bjobs\W+2\b", line), line


def test_the_log_names_the_caller_of_a_delete_of_everything(product: Product) -> None:
    delete, event = partial(product.client.delete, collection=True), "all jobs were deleted"
    logged_by(product, delete, event)
    product.client.create(later(id="a"))
    line = logged_by(product, delete, event)
    assert "ipv4:127.0.0.1:" in line
    assert re.search(r"\bjobs\W+1\b", line), line
