"""The system commands: health_check, version, reset and restore (docs/contract.md).

The name decides which command runs, on both transports. The answer of a command is also an event on
the commands topic. If no command has that name, the key of the command's event decides which
Response event carries the error.
"""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple, Protocol

import structlog

from scheduling_client.schedules.texts import shown
from scheduling_srv.app.commands.payloads import Json, RestoreRequest, parse_payload, parse_restore
from scheduling_srv.app.destructive import note_restore
from scheduling_srv.app.ports import Clock, InputStore, Receipt, Source
from scheduling_srv.app.sharding.sharded_store import Stored
from scheduling_srv.domain.errors import InvalidRequest, TooMany, Unavailable, Violation
from scheduling_srv.formats import messages
from scheduling_srv.formats.kafka_records import Topic
from scheduling_srv.formats.outbox_entries import event_entry

BEST_EFFORT_SECONDS = 1.0
"""How long an answer that must not depend on Redis waits for its event to be stored."""

LONGEST_NAME = 200
"""Characters of a service's name that an error repeats."""

log = structlog.get_logger()


class Command(NamedTuple):
    """The keys of a command's events on the commands topic, and the method that runs it."""

    event: str
    response: str
    run: Callable[[Commands, Json, Source | None], Awaitable[Json]]
    """Takes the payload, and where it was consumed; returns the answer."""


class HealthPort(Protocol):
    """Whether due jobs are being emitted."""

    async def status(self) -> str:
        """`SERVING`, `NOT_SERVING` or `UNKNOWN`."""


class ResetPort(Protocol):
    """The part of `ShardedStore` that a reset needs."""

    async def reset(self, entries: Sequence[bytes], source: Source | None = None) -> Stored:
        """Make every job and run void without a word, and append `entries`."""

    async def announced(self, changes: Sequence[Stored]) -> None:
        """Return when all of it is on Kafka."""


async def is_heard() -> bool:
    """There is a topic for responses."""
    return True


class Commands:
    """Runs commands.

    `start_restore` begins a restore that emits its own Response event at its end, and stores the
    source's position; `heard` says whether the topic of responses exists, as one without a topic
    would hold up the runs after it. `resources_topic` is the topic that can be restored from,
    `version` that of the package.
    """

    def __init__(
        self,
        *,
        store: ResetPort,
        inputs: InputStore,
        health: HealthPort,
        clock: Clock,
        start_restore: Callable[[RestoreRequest, Source | None], Awaitable[None]],
        services: Sequence[str],
        resources_topic: str,
        version: str,
        heard: Callable[[], Awaitable[bool]] = is_heard,
    ) -> None:
        self._store, self._inputs, self._health, self._clock = store, inputs, health, clock
        self._start_restore = start_restore
        self._services, self._resources_topic, self._version = services, resources_topic, version
        self._heard = heard

    async def run(self, name: str, payload: bytes | None, source: Source | None = None) -> bytes:
        """Run a command; returns its JSON. `source` is where it was consumed, None for a call.

        Raises `InvalidRequest` for an unknown command or a wrong payload, `TooMany` if too many
        restores are pending, and `Unavailable`.
        """
        command = COMMANDS.get(name)
        if command is None:
            sentence = _unknown(name)
            raise InvalidRequest(sentence, [Violation("name", sentence)])
        return _dumps(await command.run(self, parse_payload(payload), source))

    async def run_event(self, key: str, name: str, payload: bytes | None, source: Source) -> None:
        """Run the command of an event with this key; a faulty one is answered with its error."""
        try:
            await self.run(name, payload, source)
        except (InvalidRequest, TooMany) as fault:
            await self.refuse_event(key, name, str(fault), source)

    async def refuse_event(self, key: str, name: str, sentence: str, source: Source) -> None:
        """Answer a command that cannot be run: one that `run` refuses, or no CommandRequest."""
        response = COMMANDS[name].response if name in COMMANDS else COMMAND_EVENTS[key]
        await self._emit(response, {"error": sentence}, source, self._services)

    async def _health_check(self, payload: Json, source: Source | None) -> Json:
        service = payload.get("service")
        if service is not None and not isinstance(service, str):
            sentence = "The service is not a text."
            raise InvalidRequest(sentence, [Violation("payload.service", sentence)])
        if service and service not in self._services:
            answer: Json = {"error": f"Service {service[:LONGEST_NAME]} does not exist"}
        else:
            answer = {"status": await self._health.status()}
        named = [service] if service and service in self._services else self._services
        return await self._informed("health_check", answer, source, named)

    async def _version_of(self, _payload: Json, source: Source | None) -> Json:
        runtime = platform.python_version()
        # Clients of 2018 read the last key.
        answer: Json = {"version": self._version, "python": runtime, "nodejs": runtime}
        return await self._informed("version", answer, source, self._services)

    async def _reset(self, _payload: Json, source: Source | None) -> Json:
        answer: Json = {"status": "Reset concluded successfully"}
        entries = await self._events(COMMANDS["reset"].response, answer, self._services)
        stored = await self._store.reset(entries, source)
        if source is None:
            # A caller may rely on it from here on; a partition does not wait for anybody.
            await self._store.announced([stored])
        return answer

    async def _restore(self, payload: Json, source: Source | None) -> Json:
        request = parse_restore(payload, self._resources_topic)
        await self._start_restore(request, source)
        note_restore(request.topic, request.offset)
        return {}

    async def _informed(
        self, name: str, answer: Json, source: Source | None, services: Sequence[str]
    ) -> Json:
        """Emit an answer, and return it even if it cannot be emitted.

        A caller needs the health and the version above all while Redis is away.
        """
        if source is not None:
            await self._emit(COMMANDS[name].response, answer, source, services)
            return answer
        try:
            async with asyncio.timeout(BEST_EFFORT_SECONDS):
                await self._emit(COMMANDS[name].response, answer, source, services)
        except (Unavailable, TimeoutError) as error:
            log.warning("a response is not sent", command=name, reason=str(error))
        return answer

    async def _emit(
        self, response: str, answer: Json, source: Source | None, services: Sequence[str]
    ) -> Receipt:
        entries = await self._events(response, answer, services)
        return await self._inputs.append(entries, self._clock.now(), source)

    async def _events(
        self, response: str, answer: Json, services: Sequence[str]
    ) -> Sequence[bytes]:
        """The response as an entry of the outbox; none if its topic does not exist."""
        if not await self._heard():
            log.warning("a response is not sent", response=response, reason="its topic is missing")
            return []
        value = messages.encode_command_response(services, _dumps(answer))
        return [event_entry(Topic.COMMANDS, response.encode(), value)]

    TABLE: ClassVar = {
        "health_check": Command("healthCheckCommand", "healthCheckResponse", _health_check),
        "version": Command("versionCommand", "versionResponse", _version_of),
        "restore": Command("restoreCommand", "restoreResponse", _restore),
        "reset": Command("resetCommand", "resetResponse", _reset),
    }
    """Each command: a new one is a row and its method."""


COMMANDS: Mapping[str, Command] = Commands.TABLE
COMMAND_EVENTS = {command.event: command.response for command in COMMANDS.values()}
"""Keys that the listener handles, and the key of the answer."""


def _unknown(name: str) -> str:
    known = ", ".join(COMMANDS)
    if not name:
        return f"Command name not specified: it is one of {known}."
    return f"Command {shown(name)} does not exist: it is one of {known}."


def _dumps(answer: Json) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()
