"""The grammar of labels, which is that of Kubernetes.

A key is a name, or a DNS subdomain, a slash and a name. A name has at most 63 letters, digits,
dashes, underscores and dots, and begins and ends with a letter or digit. A value is a name or
empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

MOST_LABELS = 32
LONGEST_NAME, LONGEST_PREFIX = 63, 253
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_PART = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_PREFIX = re.compile(rf"{_PART}(?:\.{_PART})*")


def faults(labels: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each fault."""
    if len(labels) > MOST_LABELS:
        yield f"A job has at most {MOST_LABELS} labels, not {len(labels)}."
    for key, value in labels.items():
        prefix, slash, name = key.rpartition("/")
        if slash and not is_prefix(prefix):
            yield f"The prefix of the label {key!r} is no DNS subdomain such as 'example.org'."
        if not is_name(name):
            yield f"The key of the label {key!r} is none: {_GRAMMAR}"
        if value and not is_name(value):
            yield f"The value {value!r} of the label {key!r} is none: {_GRAMMAR}"


_GRAMMAR = (
    f"it has 1 to {LONGEST_NAME} letters, digits, dashes, underscores and dots, and begins and ends"
    " with a letter or digit."
)


def is_name(text: str) -> bool:
    """Whether it may be the last part of a key, or a value."""
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None


def is_prefix(text: str) -> bool:
    """Whether it may stand before the slash of a key."""
    return len(text) <= LONGEST_PREFIX and _PREFIX.fullmatch(text) is not None
