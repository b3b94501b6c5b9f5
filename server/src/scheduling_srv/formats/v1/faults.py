"""The faults of requests of scheduling.v1."""

from __future__ import annotations

from scheduling_srv.domain.errors import InvalidRequest, TooLarge, Violation


def fault_in(field: str, sentence: str) -> InvalidRequest:
    """The error for one field."""
    return InvalidRequest(sentence, [Violation(field, sentence)])


def too_many(field: str, count: int | str, limit: int) -> TooLarge:
    """The error for a list that is too long."""
    sentence = f"There are {count} {field.rpartition('.')[2]}; the limit is {limit}."
    return TooLarge(sentence, [Violation(field, sentence)])


def check_size(field: str, text: str, most: int) -> None:
    """Raises `InvalidRequest` for a text of more than so many bytes."""
    if len(text.encode()) > most:
        raise fault_in(field, f"The text is longer than {most} bytes.")
