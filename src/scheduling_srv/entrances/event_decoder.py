"""Decodes the events of Kafka for the use case that applies them."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_srv.app.ports import Answer
from scheduling_srv.domain.job import JobRequest
from scheduling_srv.domain.validation import Rules
from scheduling_srv.entrances import convert
from scheduling_srv.entrances.trace import trace_from_headers


class EventDecoder:
    """Implements `Decoder`."""

    def answer(self, value: bytes, *, failed: bool) -> Answer:
        """A JobDone or a JobFailed."""
        return convert.decode_answer(value, failed=failed)

    async def job_list(
        self, value: bytes, headers: Sequence[tuple[str, bytes]], rules: Rules
    ) -> Sequence[JobRequest]:
        """A JobList; its jobs get the trace context of the headers."""
        trace = trace_from_headers(headers)
        return await convert.read_job_list(value, trace, rules.max_items, rules.max_job_bytes)

    def deletion(self, value: bytes, limit: int) -> tuple[Sequence[str], bool]:
        """A DeleteRequest or a Deleted: ids, and whether everything is to be deleted."""
        return convert.decode_delete(value, limit)

    def command(self, value: bytes) -> tuple[str, bytes | None]:
        """A CommandRequest: its name and its payload."""
        return convert.decode_command(value)
