"""Commands answer JSON, and emit the same as an event; the name decides, never the key."""

import json
import platform
from collections.abc import Mapping, Sequence

import pytest

from scheduling_client.wire.commandinterface_pb2 import CommandResponse
from scheduling_srv.app.commands.commands import Commands
from scheduling_srv.app.commands.payloads import RestoreRequest
from scheduling_srv.app.ports import Answered, Receipt, Source
from scheduling_srv.app.positions import Start
from scheduling_srv.app.sharding.sharded_store import Stored
from scheduling_srv.domain.errors import InvalidRequest, StoreUnavailable, TooMany
from scheduling_srv.domain.job import Answer
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.formats.messages import encode_command_response
from scheduling_srv.formats.outbox_entries import event_entry, read_event
from scheduling_srv.formats.positions import InputPosition, Place

SOURCE = Source("commands:0", 5, 6, "i")
RECEIPT = Receipt("i", 1)


class World:
    """Everything that commands touch, and what they did to it."""

    def __init__(self) -> None:
        self.said: list[tuple[bytes, Source | None]] = []
        self.done: list[object] = []
        self.health = "SERVING"
        self.away = self.is_full = False
        self.commands = Commands(
            store=self,
            inputs=self,
            health=self,
            clock=self,
            start_restore=self.restore,
            services=["one", "two"],
            resources_topic="resources",
            version="1.2.3",
        )

    def now(self) -> int:
        return 1000

    async def status(self) -> str:
        return self.health

    async def reset(self, entries: Sequence[bytes], source: Source | None = None) -> Stored:
        receipt = await self.append(entries, self.now(), source)
        self.done.append("reset")
        return Stored(0, receipt, 0)

    async def restore(self, request: RestoreRequest, source: Source | None) -> None:
        if self.is_full:
            raise TooMany("Too many restores.")
        self.done.append((request, source))

    async def announced(self, changes: Sequence[Stored]) -> None:
        self.done += [("announced", each.receipt) for each in changes]

    async def append(
        self, entries: Sequence[bytes], now: int, source: Source | None = None
    ) -> Receipt:
        if self.away:
            raise StoreUnavailable("Redis does not answer.")
        self.said += [(entry, source) for entry in entries]
        return RECEIPT

    async def positions(self) -> tuple[str, Mapping[str, InputPosition]]:
        raise AssertionError

    async def complete(self, answers: Sequence[Answer], now: int, source: Source) -> Answered:
        raise AssertionError

    async def set_positions(self, starts: Sequence[Start], lineage: str, now: int) -> None:
        raise AssertionError

    async def forget(self, positions: Mapping[Place, int], lineage: str, now: int) -> None:
        raise AssertionError

    async def show_offsets(self, offsets: Mapping[Place, int]) -> None:
        raise AssertionError


def event(key: str, answer: str, services: str = "one,two") -> bytes:
    value = encode_command_response(services.split(","), answer.encode())
    return event_entry(Topic.COMMANDS, key.encode(), value)


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("health", ["SERVING", "NOT_SERVING", "UNKNOWN"])
@pytest.mark.parametrize("payload", [None, b"{}", b'{"service":""}', b'{"service":"two"}'])
async def test_health_check(world: World, health: str, payload: bytes | None) -> None:
    world.health = health
    answer = f'{{"status":"{health}"}}'
    assert await world.commands.run("health_check", payload) == answer.encode()
    services = "two" if b"two" in (payload or b"") else "one,two"
    assert world.said == [(event("healthCheckResponse", answer, services), None)]


async def test_health_of_an_unknown_service(world: World) -> None:
    answer = '{"error":"Service nope does not exist"}'
    assert await world.commands.run("health_check", b'{"service":"nope"}') == answer.encode()
    assert world.said == [(event("healthCheckResponse", answer), None)]


@pytest.mark.parametrize("name", ["\\ud800", "x" * 10_000])
async def test_a_strange_service_name_is_still_answered(world: World, name: str) -> None:
    answer = await world.commands.run("health_check", b'{"service":"%b"}' % name.encode())
    assert "does not exist" in json.loads(answer)["error"]
    assert len(answer) < 300


async def test_health_is_answered_without_redis(world: World) -> None:
    world.away, world.health = True, "NOT_SERVING"
    assert await world.commands.run("health_check", None) == b'{"status":"NOT_SERVING"}'


async def test_an_event_is_not_lost_while_redis_is_away(world: World) -> None:
    world.away = True
    with pytest.raises(StoreUnavailable):
        await world.commands.run_event("healthCheckCommand", "health_check", None, SOURCE)


async def test_version(world: World) -> None:
    runtime = platform.python_version()
    versions = {"version": "1.2.3", "python": runtime, "nodejs": runtime}
    answer = json.dumps(versions, separators=(",", ":"))
    assert await world.commands.run("version", None) == answer.encode()
    assert world.said == [(event("versionResponse", answer), None)]


async def test_a_reset_is_answered_when_it_is_announced(world: World) -> None:
    answer = '{"status":"Reset concluded successfully"}'
    assert await world.commands.run("reset", None) == answer.encode()
    assert world.said == [(event("resetResponse", answer), None)]
    assert world.done == ["reset", ("announced", RECEIPT)]


async def test_a_reset_over_kafka_does_not_hold_up_its_partition(world: World) -> None:
    await world.commands.run_event("resetCommand", "reset", None, SOURCE)
    assert world.done == ["reset"]
    assert world.said[0][1] == SOURCE


async def test_a_reset_fails_without_redis(world: World) -> None:
    world.away = True
    with pytest.raises(StoreUnavailable):
        await world.commands.run("reset", None)


@pytest.mark.parametrize("source", [None, SOURCE])
async def test_a_restore_is_started_and_answers_by_itself(
    world: World, source: Source | None
) -> None:
    answer = await world.commands.run("restore", b'{"jobs":{"offset":7}}', source)
    assert answer == b"{}"
    assert world.done == [(RestoreRequest("resources", 7, frozenset()), source)]
    assert world.said == []


BAD = [
    ("", b"", "name"),
    ("nope", b"", "name"),
    ("Version", b"", "name"),
    ("version", b"no", "payload"),
    ("restore", b"{}", "payload"),
    ("restore", None, "payload"),
    ("health_check", b'{"service":1}', "payload.service"),
    ("reset", b"[]", "payload"),
]


@pytest.mark.parametrize(("name", "payload", "field"), BAD)
async def test_a_bad_call_is_refused_and_changes_nothing(
    world: World, name: str, payload: bytes | None, field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await world.commands.run(name, payload)
    assert refused.value.violations[0].field == field
    assert str(refused.value).endswith(".") or field == "payload"
    assert (world.said, world.done) == ([], [])


@pytest.mark.parametrize(
    ("key", "name", "payload", "response"),
    [
        ("restoreCommand", "restore", None, "restoreResponse"),
        ("resetCommand", "", None, "resetResponse"),
        ("versionCommand", "nope", None, "versionResponse"),
        ("healthCheckCommand", "reset", b"no", "resetResponse"),
    ],
)
async def test_a_bad_event_is_answered_with_its_error(
    world: World, key: str, name: str, payload: bytes | None, response: str
) -> None:
    await world.commands.run_event(key, name, payload, SOURCE)
    ((entry, source),) = world.said
    _, said_as, value, _ = read_event(entry)
    assert said_as == response.encode()
    assert list(json.loads(CommandResponse.FromString(value).payload.value)) == ["error"]
    assert source == SOURCE
    assert world.done == []


async def test_the_name_decides_and_the_answer_bears_its_name(world: World) -> None:
    await world.commands.run_event("resetCommand", "health_check", None, SOURCE)
    assert world.said == [(event("healthCheckResponse", '{"status":"SERVING"}'), SOURCE)]


async def test_an_event_that_is_no_command_is_answered_by_its_key(world: World) -> None:
    await world.commands.refuse_event("versionCommand", "", "Why.", SOURCE)
    assert world.said == [(event("versionResponse", '{"error":"Why."}'), SOURCE)]


async def test_a_restore_beyond_the_limit_is_answered_with_an_error(world: World) -> None:
    """A call fails. An event gets a Response, and does not block its partition."""
    world.is_full = True
    payload = b'{"jobs":{}}'
    with pytest.raises(TooMany):
        await world.commands.run("restore", payload)
    assert world.said == []
    await world.commands.run_event("restoreCommand", "restore", payload, SOURCE)
    assert world.said == [(event("restoreResponse", '{"error":"Too many restores."}'), SOURCE)]
    assert world.done == []
