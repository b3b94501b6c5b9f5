"""DeadLetterService, from and to bytes."""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from scheduling_client.wire.v1 import dead_letter_service_pb2 as service
from scheduling_srv.domain.bulk import Progress
from scheduling_srv.domain.dead_letter import (
    DeadLetter,
    LetterCall,
    LetterFilter,
    LetterId,
    LetterPage,
    LetterSelection,
)
from scheduling_srv.domain.errors import InvalidRequest, Violation
from scheduling_srv.formats.parsing import parse_whole
from scheduling_srv.formats.v1.events_2018 import write_json
from scheduling_srv.formats.v1.times import instant_of, timestamp_of

DEAD_LETTER_SERVICE = service.DESCRIPTOR.services_by_name["DeadLetterService"].full_name
MOST_LISTED, DEFAULT_LISTED = 500, 50
"""Letters of a page."""
MOST_IDS = 1_000
"""Ids of one call."""
LARGEST_OFFSET, LARGEST_PARTITION = 2**63 - 1, 2**31 - 1


class ListCall(NamedTuple):
    """A ListDeadLettersRequest."""

    wanted: LetterFilter
    limit: int
    token: str


def decode_list(raw: bytes) -> ListCall:
    """A ListDeadLettersRequest. Raises `InvalidRequest`."""
    asked = parse_whole(service.ListDeadLettersRequest, raw)
    if asked.page_size > MOST_LISTED:
        raise _invalid("page_size", f"A page has at most {MOST_LISTED} dead letters.")
    wanted = _filter_of(asked.filter, "filter")
    return ListCall(wanted, asked.page_size or DEFAULT_LISTED, asked.page_token)


def decode_get(raw: bytes) -> LetterId:
    """A GetDeadLetterRequest. Raises `InvalidRequest`."""
    return _id_of(parse_whole(service.GetDeadLetterRequest, raw).id, "id")


def decode_replay(raw: bytes) -> LetterCall:
    """A ReplayDeadLettersRequest. Raises `InvalidRequest`."""
    asked = parse_whole(service.ReplayDeadLettersRequest, raw)
    return LetterCall(_selection_of(asked.selection), asked.dry_run, asked.page_token)


def decode_hide(raw: bytes) -> LetterCall:
    """A HideDeadLettersRequest. Raises `InvalidRequest`."""
    asked = parse_whole(service.HideDeadLettersRequest, raw)
    return LetterCall(_selection_of(asked.selection), asked.dry_run, asked.page_token)


def _selection_of(selection: service.DeadLetterSelection) -> LetterSelection:
    kind = selection.WhichOneof("selection")
    if kind == "filter":
        return _filter_of(selection.filter, "selection.filter")
    if kind is None:
        raise _invalid("selection", "Give the ids of dead letters, or a filter.")
    if len(selection.ids.ids) > MOST_IDS:
        raise _invalid("selection.ids.ids", f"One call takes at most {MOST_IDS:,} ids.")
    return tuple(
        _id_of(each, f"selection.ids.ids[{place}]") for place, each in enumerate(selection.ids.ids)
    )


def _filter_of(asked: service.DeadLetterFilter, path: str) -> LetterFilter:
    since: Timestamp = getattr(asked, "from")
    return LetterFilter(
        event=asked.event,
        reason=asked.reason,
        since=_instant(since, f"{path}.from") if asked.HasField("from") else None,
        until=_instant(asked.until, f"{path}.until") if asked.HasField("until") else None,
        include_hidden=asked.include_hidden,
    )


def _instant(time: Timestamp, path: str) -> int:
    try:
        return instant_of(time)
    except InvalidRequest as fault:
        raise _invalid(path, str(fault)) from None


def _id_of(name: str, path: str) -> LetterId:
    try:
        found = LetterId.of(name)
    except ValueError as fault:
        raise _invalid(path, str(fault)) from None
    if found.partition > LARGEST_PARTITION or found.offset >= LARGEST_OFFSET:
        raise _invalid(path, f"{name!r} is beyond the numbers of Kafka.")
    return found


def _invalid(path: str, sentence: str) -> InvalidRequest:
    return InvalidRequest(sentence, [Violation(path, sentence)])


# --- Answers ------------------------------------------------------------------------------------


def encode_list(page: LetterPage) -> bytes:
    """A ListDeadLettersResponse."""
    answer = service.ListDeadLettersResponse(
        dead_letters=[_letter_of(each) for each in page.letters], next_page_token=page.token
    )
    return answer.SerializeToString()


async def write_get(letter: DeadLetter) -> bytes:
    """A GetDeadLetterResponse."""
    is_whole = letter.value and not letter.loss
    answer = service.GetDeadLetterResponse(
        dead_letter=_letter_of(letter),
        value=letter.value,
        decoded=await write_json(letter.event, letter.value) if is_whole else "",
        headers=letter.headers,
    )
    return answer.SerializeToString()


def encode_replayed(progress: Progress) -> bytes:
    """A ReplayDeadLettersResponse."""
    matched, replayed, token = progress
    answer = service.ReplayDeadLettersResponse(
        matched=matched, replayed=replayed, next_page_token=token
    )
    return answer.SerializeToString()


def encode_hidden(progress: Progress) -> bytes:
    """A HideDeadLettersResponse."""
    matched, hidden, token = progress
    answer = service.HideDeadLettersResponse(matched=matched, hidden=hidden, next_page_token=token)
    return answer.SerializeToString()


def _letter_of(letter: DeadLetter) -> service.DeadLetter:
    return service.DeadLetter(
        id=letter.id.name,
        time=timestamp_of(letter.time),
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        event=letter.event.decode(errors="replace"),
        reason=letter.reason,
        message=letter.message,
        replayed=letter.replayed,
        size=letter.size,
    )
