"""Prepares a client's text for every grammar, and shows it in errors."""

import re

from scheduling_client.schedules.errors import Unparsable

_SHOWN = 60
# The spaces that people and browsers really put into dates (`toLocaleString` writes U+202F).
_SPACES = re.compile("[ \t\r\n\u00a0\u202f]+")


def shown(text: str) -> str:
    """Quote `text` for an error sentence: shortened, and with control characters escaped."""
    return repr(text) if len(text) <= _SHOWN else repr(text[:_SHOWN]) + "..."


def single_spaced(text: str, limit: int, what: str) -> str:
    """Trim `text` and make every run of spaces one space.

    Errors: Unparsable, about `what`, if the text is longer than `limit` characters. This check
    comes first, so that no grammar ever works on a long text.
    """
    if len(text) > limit:
        raise Unparsable(f"{what} {shown(text)} is longer than {limit} characters.")
    return _SPACES.sub(" ", text).strip(" ")


def lowered(text: str) -> str | None:
    """Return `text` in lower case, or None if it is not plain ASCII.

    That is asked first because `lower` turns the Kelvin sign, for one, into an ASCII letter.
    """
    return text.lower() if text.isascii() else None
