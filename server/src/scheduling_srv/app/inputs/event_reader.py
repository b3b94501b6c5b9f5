"""Reads the content of consumed records."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_srv.app.inputs.keys import ANSWERS, COMMANDS, DELETE, FAILED, HEARTBEAT, MODES
from scheduling_srv.app.records import Command, Consumed, Content, Deletion, JobList
from scheduling_srv.domain.errors import RequestError
from scheduling_srv.domain.validation import Rules
from scheduling_srv.formats import messages
from scheduling_srv.formats.kafka_records import OUTCOME
from scheduling_srv.formats.trace import trace_from_headers


class EventReader:
    """Reads the events of the two topics."""

    def __init__(self, rules: Rules, *, jobs_topic: str, commands_topic: str) -> None:
        self.rules = rules
        self.jobs_topic = jobs_topic
        self.commands_topic = commands_topic

    async def read(self, record: Consumed) -> Content | None:
        """The content, or the reason why it cannot be read. None: it is no event for us."""
        if record.content is not None:
            return record.content
        key, value = record.key or b"", record.value or b""
        if record.topic == self.commands_topic and key in COMMANDS:
            return self._command(COMMANDS[key], value)
        if record.topic != self.jobs_topic:
            return None
        try:
            return await self._event(key, value, record.headers)
        except RequestError as fault:
            return fault

    async def _event(
        self, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> Content | None:
        if key in ANSWERS:
            if key == FAILED and any(name == OUTCOME for name, _ in headers):
                return None  # this service has said it, of a run that was cancelled
            occurrence = _occurrence_in(headers)
            if key == HEARTBEAT:
                return messages.decode_heartbeat(value, occurrence)
            return messages.decode_answer(value, failed=key == FAILED, occurrence=occurrence)
        if mode := MODES.get(key):
            trace, rules = trace_from_headers(headers), self.rules
            return JobList(
                mode,
                await messages.read_job_list(value, trace, rules.max_items, rules.max_job_bytes),
            )
        if key == DELETE:
            return Deletion(*messages.decode_delete(value, self.rules.max_items))
        return None

    def _command(self, key: str, value: bytes) -> Command:
        try:
            return Command(key, *messages.decode_command(value))
        except RequestError as fault:
            return Command(key, fault=str(fault))


def _occurrence_in(headers: Sequence[tuple[str, bytes]]) -> bytes:
    """The last `occurrence-id`; empty: there is none."""
    for name, value in reversed(headers):
        if name == "occurrence-id":
            return value
    return b""
