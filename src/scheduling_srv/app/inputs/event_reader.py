"""Reads the content of consumed records."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_srv.app.inputs.keys import ANSWERS, COMMANDS, DELETE, FAILED, MODES
from scheduling_srv.app.inputs.records import Command, Consumed, Content, Deletion, JobList
from scheduling_srv.app.ports import Decoder
from scheduling_srv.domain.errors import RequestError
from scheduling_srv.domain.validation import Rules


class EventReader:
    """Reads the events of the two topics."""

    def __init__(
        self, decoder: Decoder, rules: Rules, *, jobs_topic: str, commands_topic: str
    ) -> None:
        self.decoder = decoder
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
            return self.decoder.answer(value, failed=key == FAILED)
        if mode := MODES.get(key):
            return JobList(mode, await self.decoder.job_list(value, headers, self.rules))
        if key == DELETE:
            return Deletion(*self.decoder.deletion(value, self.rules.max_items))
        return None

    def _command(self, key: str, value: bytes) -> Command:
        try:
            return Command(key, *self.decoder.command(value))
        except RequestError as fault:
            return Command(key, fault=str(fault))
