"""The part of a job's record that the messages of 2018 cannot say: MORE (docs/decisions/0030).

    MORE | RULES | labels | unique key | spec

RULES are there if a property has an effect while Lua stages or answers; 0 is a default. Labels are
lines `key=value`, sorted by key. `spec` is a `scheduling.v1.StoredSpec`, which is opaque here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from scheduling_srv.domain.properties import Properties
from scheduling_srv.domain.run_rules import MissedRule, Overlap
from scheduling_srv.formats import layouts
from scheduling_srv.formats.layouts import (
    HAS_RULES,
    MISSED_LATEST,
    MISSED_SKIP,
    MISSED_UNLIMITED,
)

MORE = layouts.MORE.struct
RULES = layouts.RULES.struct
_BEHIND_UPDATED = layouts.MORE.part("flags", "labels_size", "key_size").struct
_UPDATED_AT = layouts.MORE.before("updated")
_FLAGS_AT = layouts.MORE.before("flags")
INSTANT_BYTES = layouts.BIRTH.size
"""Of an instant in epoch ms, little-endian."""
NO_RULES = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0)
NO_PROPERTIES = Properties()


class More(NamedTuple):
    """What a record says beside the message of 2018. Instants are epoch ms."""

    revision: int = 1
    updated: int = 0
    """When the definition last changed."""
    properties: Properties = NO_PROPERTIES
    """Without `start`, which is in `spec`."""
    spec: bytes = b""


def instant_bytes(instant: int) -> bytes:
    """An instant as BIRTH and MORE hold it."""
    return instant.to_bytes(INSTANT_BYTES, "little")


def pack_more(more: More) -> bytes:
    """The bytes of MORE."""
    asked = more.properties
    rules = _rules(asked)
    rules_part = b"" if rules == NO_RULES else RULES.pack(*rules)
    labels = label_lines(asked.labels)
    key = asked.unique_key.encode()
    flags = HAS_RULES if rules_part else 0
    size = MORE.size + len(rules_part) + len(labels) + len(key) + len(more.spec)
    fixed = MORE.pack(size, more.revision, flags, len(labels), len(key))
    updated_end = _UPDATED_AT + INSTANT_BYTES
    head = fixed[:_UPDATED_AT] + instant_bytes(more.updated) + fixed[updated_end:]
    return b"".join((head, rules_part, labels, key, more.spec))


def read_more(text: bytes) -> More:
    """The inverse of `pack_more`."""
    _, revision, flags, labels_size, key_size = MORE.unpack_from(text)
    updated = int.from_bytes(text[_UPDATED_AT : _UPDATED_AT + INSTANT_BYTES], "little")
    at, rules = MORE.size, NO_RULES
    if flags & HAS_RULES:
        rules, at = RULES.unpack_from(text, at), at + RULES.size
    key_at = at + labels_size
    spec_at = key_at + key_size
    labels = labels_of(text[at:key_at])
    properties = _properties(rules, labels, text[key_at:spec_at].decode())
    return More(revision, updated, properties, text[spec_at:])


def label_lines(labels: Mapping[str, str]) -> bytes:
    """Labels as they are stored. Their grammar has neither `=` nor line feeds."""
    return "\n".join(f"{key}={labels[key]}" for key in sorted(labels)).encode()


def labels_of(lines: bytes) -> dict[str, str]:
    """The inverse of `label_lines`."""
    return dict(line.split("=", 1) for line in lines.decode().split("\n") if line)


def _rules(asked: Properties) -> tuple[int | float, ...]:
    missed, window = _missed(asked.missed)
    return (
        int(asked.overlap),
        missed,
        window,
        asked.jitter or 0,
        asked.start_deadline or 0,
        asked.completion_timeout or 0,
        asked.max_runs,
        asked.end or 0,
        asked.max_delay or 0,
        asked.random_share,
    )


def _missed(rule: MissedRule | None) -> tuple[int, int]:
    if rule is None:
        return 0, 0
    older = MISSED_LATEST if rule.latest else MISSED_SKIP
    return (older | MISSED_UNLIMITED, 0) if rule.window is None else (older, rule.window)


def _properties(
    rules: tuple[int | float, ...], labels: Mapping[str, str], unique_key: str
) -> Properties:
    overlap, missed, window, jitter, deadline, timeout, most, end, max_delay, share = rules
    return Properties(
        end=int(end) or None,
        max_runs=int(most),
        start_deadline=int(deadline) or None,
        jitter=int(jitter) or None,
        max_delay=int(max_delay) or None,
        random_share=float(share),
        overlap=Overlap(int(overlap)),
        missed=_missed_rule(int(missed), int(window)),
        completion_timeout=int(timeout) or None,
        labels=labels,
        unique_key=unique_key,
    )


def _missed_rule(missed: int, window: int) -> MissedRule | None:
    if not missed:
        return None
    reach = None if missed & MISSED_UNLIMITED else window
    return MissedRule(reach, bool(missed & MISSED_LATEST))
