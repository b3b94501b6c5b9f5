"""Records that could not be applied, as programs see them, and the calls about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from google.protobuf.message import Message

from scheduling_client.api.jobs import Progress
from scheduling_client.api.logic import Call, Steps, ask
from scheduling_client.api.messages import time_in, timestamp
from scheduling_client.wire.v1 import dead_letter_service_pb2 as service

LETTERS = "/scheduling.v1.DeadLetterService/"
MOST_IDS = 1_000
"""Ids of one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that could not be applied."""

    id: str
    """Where it stands on the dead-letter topic, such as `0:42`."""
    time: datetime | None
    """When it was put aside."""
    topic: str
    partition: int
    offset: int
    """Of the original record; -1: it is not known."""
    event: str
    """Its key."""
    reason: str
    """A stable reason, as of errors."""
    message: str
    replayed: bool
    size: int
    """Bytes of its value."""
    value: bytes | None = None
    """The value; lists leave it out."""
    decoded: str = ""
    """The value as JSON; empty: it cannot be read, or is left out."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the original record; lists leave them out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which dead letters. All conditions that are set apply; none: all that were not replayed."""

    event: str = ""
    reason: str = ""
    since: datetime | None = None
    until: datetime | None = None
    include_hidden: bool = False
    """Also those that are hidden, or were replayed."""


class LetterPage(NamedTuple):
    """A page of dead letters. It may be empty and yet not the last one."""

    letters: list[DeadLetter]
    token: str


def list_page(where: LetterFilter, size: int, token: str) -> Steps[LetterPage]:
    """The page that a token names; an empty one names the first."""
    request = service.ListDeadLettersRequest(
        filter=_filter_message(where), page_size=size, page_token=token
    )
    found = yield from ask(_call("ListDeadLetters", request, service.ListDeadLettersResponse))
    return LetterPage([_letter_in(each) for each in found.dead_letters], found.next_page_token)


def get(letter_id: str) -> Steps[DeadLetter]:
    """The dead letter with its value. Raises `NotFound`."""
    request = service.GetDeadLetterRequest(id=letter_id)
    found = yield from ask(_call("GetDeadLetter", request, service.GetDeadLetterResponse))
    return _letter_in(
        found.dead_letter, value=found.value, decoded=found.decoded, headers=dict(found.headers)
    )


def replay(ids: Sequence[str], where: LetterFilter | None, *, dry_run: bool) -> Steps[Progress]:
    """Make all steps. A step may be repeated: each letter is replayed once."""

    def request(selection: service.DeadLetterSelection, token: str) -> Message:
        return service.ReplayDeadLettersRequest(
            selection=selection, dry_run=dry_run, page_token=token
        )

    answer = service.ReplayDeadLettersResponse
    return (yield from _bulk("ReplayDeadLetters", answer, "replayed", ids, where, request))


def hide(ids: Sequence[str], where: LetterFilter | None, *, dry_run: bool) -> Steps[Progress]:
    """Make all steps."""

    def request(selection: service.DeadLetterSelection, token: str) -> Message:
        return service.HideDeadLettersRequest(
            selection=selection, dry_run=dry_run, page_token=token
        )

    answer = service.HideDeadLettersResponse
    return (yield from _bulk("HideDeadLetters", answer, "hidden", ids, where, request))


def _bulk(  # noqa: PLR0917 - what the two calls differ in
    method: str,
    answer: type[Message],
    count: str,
    ids: Sequence[str],
    where: LetterFilter | None,
    request: Callable[[service.DeadLetterSelection, str], Message],
) -> Steps[Progress]:
    matched = changed = 0
    for selection in _selections(ids, where):
        token, more = "", True
        while more:
            found: Any = yield from ask(_call(method, request(selection, token), answer))
            matched += found.matched
            changed += getattr(found, count)
            token = found.next_page_token
            more = bool(token)
    return Progress(matched, changed)


def _selections(
    ids: Sequence[str], where: LetterFilter | None
) -> list[service.DeadLetterSelection]:
    """By ids or by a filter. Raises `ValueError` for both, and for neither."""
    if bool(ids) == (where is not None):
        raise ValueError("Give ids or a filter, and not both.")
    if where is not None:
        return [service.DeadLetterSelection(filter=_filter_message(where))]
    left = iter(ids)
    pieces = iter(lambda: [*islice(left, MOST_IDS)], [])
    return [service.DeadLetterSelection(ids=service.DeadLetterIds(ids=piece)) for piece in pieces]


def _call(method: str, request: Message, answer: type[Any]) -> Call[Any]:
    return Call(f"{LETTERS}{method}", request, answer)


def _filter_message(where: LetterFilter) -> service.DeadLetterFilter:
    since = {"from": timestamp(where.since)}
    return service.DeadLetterFilter(
        event=where.event,
        reason=where.reason,
        until=timestamp(where.until),
        include_hidden=where.include_hidden,
        **since,  # `from` is a word of Python
    )


def _letter_in(
    message: service.DeadLetter,
    *,
    value: bytes | None = None,
    decoded: str = "",
    headers: Mapping[str, str] | None = None,
) -> DeadLetter:
    return DeadLetter(
        id=message.id,
        time=time_in(message, "time"),
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        event=message.event,
        reason=message.reason,
        message=message.message,
        replayed=message.replayed,
        size=message.size,
        value=value,
        decoded=decoded,
        headers=headers or {},
    )
