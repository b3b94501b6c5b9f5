"""The properties of a job as options of a command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from scheduling_client.cli.errors import wrong
from scheduling_client.cli.files import read_file

Priority = Literal["LOW", "NORMAL", "MEDIUM", "HIGH", "CRITICAL"]
_SAME = (
    "type creator timezone every interval priority attempts parallel start_time end_time max_runs"
    " start_deadline jitter overlap completion_timeout unique_key"
).split()
"""Options with the names of their keys in `job_texts`."""
_TRIGGERS = {"now": "--now", "when": "--at", "every": "--every", "interval": "--cron"}


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Properties:
    """The properties of a job."""

    type: Annotated[str | None, Parameter(help="Tells workers which work to do.")] = None
    creator: Annotated[str | None, Parameter(help="Who creates the job.")] = None
    timezone: Annotated[str | None, Parameter(help="IANA name, for cron and local dates.")] = None
    now: Annotated[bool, Parameter(negative="", help="Run once, at once.")] = False
    at: Annotated[str | None, Parameter(help="Run once, at an instant or a date in words.")] = None
    every: Annotated[str | None, Parameter(help="Run every so often, such as `2 minutes`.")] = None
    interval: Annotated[
        str | None,
        Parameter(name=["--cron", "--interval"], help="Run at each match of a cron expression."),
    ] = None
    start_time: Annotated[str | None, Parameter(help="No run before it: RFC 3339.")] = None
    end_time: Annotated[str | None, Parameter(help="No run after it: RFC 3339.")] = None
    max_runs: Annotated[int | None, Parameter(help="How many runs there are.")] = None
    priority: Annotated[Priority | None, Parameter(help="Order among due runs.")] = None
    attempts: Annotated[int | None, Parameter(help="How often a run is tried in all.")] = None
    delay: Annotated[str | None, Parameter(help="Time before another attempt, as `5s`.")] = None
    backoff: Annotated[
        Literal["FIXED", "EXPONENTIAL"] | None, Parameter(help="How that time grows.")
    ] = None
    parallel: Annotated[
        int | None, Parameter(help="Start only while fewer runs of the type are unanswered.")
    ] = None
    overlap: Annotated[
        Literal["ALLOW", "SKIP", "ONE"] | None,
        Parameter(help="What a due run does while an earlier one of the job is open."),
    ] = None
    start_deadline: Annotated[
        str | None, Parameter(help="Skip a run that could not start for so long.")
    ] = None
    jitter: Annotated[str | None, Parameter(help="Delay each run by up to this.")] = None
    completion_timeout: Annotated[
        str | None, Parameter(help="A run without an answer for so long has failed.")
    ] = None
    label: Annotated[
        Sequence[str], Parameter(help="A label `key=value`; may be given several times.")
    ] = ()
    unique_key: Annotated[
        str | None, Parameter(help="At most one job of the type with this key.")
    ] = None
    payload_json: Annotated[str | None, Parameter(help="The payload, as JSON.")] = None
    payload_file: Annotated[
        str | None,
        Parameter(
            name=["--payload-file", "--payload"],
            help="A file with the payload; `-`: the input.",
            allow_leading_hyphen=True,
        ),
    ] = None

    def changes(self) -> dict[str, Any]:
        """The properties that were given, by their keys in `job_texts`."""
        found: dict[str, Any] = {name: getattr(self, name) for name in _SAME}
        found["when"] = self.at
        found["now"] = self.now or None
        found["labels"] = labels_of(self.label) or None
        found["payload"] = self._payload()
        if self.delay is not None or self.backoff:
            given = {"delay": self.delay, "type": self.backoff}
            found["backoff"] = {key: value for key, value in given.items() if value}
        changes = {name: value for name, value in found.items() if value is not None}
        options = [option for name, option in _TRIGGERS.items() if name in changes]
        if len(options) > 1:
            raise wrong(f"A job has one schedule: {' and '.join(options)} are given.")
        return changes

    def _payload(self) -> list[dict[str, str]] | None:
        if self.payload_json is not None and self.payload_file is not None:
            raise wrong("Give --payload-json or --payload-file, not both.")
        if self.payload_json is not None:
            try:
                json.loads(self.payload_json)
            except ValueError as error:
                raise wrong(f"--payload-json is not JSON: {error}.") from None
            return [{"text": self.payload_json}]
        if self.payload_file is not None:
            return [{"text": read_file(self.payload_file)}]
        return None


def labels_of(texts: Sequence[str]) -> dict[str, str]:
    """Labels from `key=value`. Raises `CommandError`."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise wrong(f"The label {text!r} is not key=value.")
        found[key] = value
    return found
