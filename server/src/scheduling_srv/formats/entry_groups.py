"""Reads which entries of the outbox belong together, and what undoes them (docs/decisions/0009).

The head of a group gives its number of entries. It may also name lists among them, the record of a
list, and the jobs that a list replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.formats import job_record, layouts
from scheduling_srv.formats.layouts import GROUP, NEW_NOW
from scheduling_srv.formats.outbox_entries import CREATED, GROUPED

VOID = bytes((GROUP,)) + GROUPED.pack(0)[1:]
"""An entry that becomes nothing: the head of an empty group."""
SECTION = layouts.SECTION.struct
LIST = layouts.LIST_PART.struct
BEFORE = layouts.OLD_JOB_PART.struct
BEFORE_JOB = bytes((layouts.OLD_JOB,))
"""Letter of the sections on jobs; those on their waiting retries have another one."""
LIST_SECTION, REPEATED_SECTION = bytes((layouts.LIST,)), bytes((layouts.REPEATED,))


class Listed(NamedTuple):
    """A list: it is applied as a whole."""

    first: int
    """Place of its first entry in the batch."""
    end: int
    """Behind its last one."""
    offset: int
    """Of its record."""
    source: str = ""
    """`topic:partition` of its record; empty: it comes from a call."""

    @property
    def is_one_job_of_a_call(self) -> bool:
        """Whether a call has changed this job alone."""
        return self.end - self.first == 1 and not self.source


@dataclass(slots=True)
class Group:
    """Entries that are published together: one, or a head and all that follows it."""

    start: int
    """Place of its first entry in the batch."""
    end: int
    lists: list[Listed] = field(default_factory=list)
    repeats: bool = False
    """It repeats what Kafka has had."""
    before: list[bytes] = field(default_factory=list)
    """Letter and bytes of each section on jobs that were replaced."""

    def list_at(self, place: int) -> Listed:
        """The list that an entry is part of; without a word about it all of the group."""
        whole = Listed(min(self.start + 1, self.end - 1), self.end, 0)
        return next((each for each in self.lists if each.first <= place < each.end), whole)

    def replaced(self) -> dict[bytes, int]:
        """Ids of the jobs that were replaced, and their creation numbers."""
        return dict(replaced_job(each) for each in self.before if each[:1] == BEFORE_JOB)


def groups(entries: Sequence[bytes]) -> Iterator[Group]:
    """The groups in a batch, in order."""
    at = 0
    while at < len(entries):
        group = _read(entries[at], at) if entries[at][0] == GROUP else Group(at, at + 1)
        yield group
        at = group.end


def size_of(head: bytes) -> int:
    """How many entries follow the head of a group."""
    size: int = GROUPED.unpack_from(head)[0]
    return size


def lists_of(head: bytes, start: int) -> Iterator[Listed]:
    """The lists that the head of a group names; `start` is the place of the head."""
    for letter, text in _sections(head):
        if letter != LIST_SECTION:
            return  # they come first
        first, count, offset = LIST.unpack_from(text)
        yield Listed(start + first, start + first + count, offset, text[LIST.size :].decode())


def _read(head: bytes, start: int) -> Group:
    group = Group(start, start + 1 + size_of(head), [*lists_of(head, start)])
    for letter, text in _sections(head):
        if letter == REPEATED_SECTION:
            group.repeats = True
        elif letter != LIST_SECTION:
            group.before.append(letter + text)
    return group


def _sections(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = GROUPED.size
    while at < len(head):
        letter, length = SECTION.unpack_from(head, at)
        at += SECTION.size + length
        yield letter, head[at - length : at]


def created_job(entry: bytes) -> tuple[bytes, int]:
    """Id and creation number of the job that an entry puts into the schedule."""
    _, size = CREATED.unpack_from(entry)
    at = CREATED.size + size
    return entry[CREATED.size : at], job_record.seq(entry[at:])


def is_repeated(entry: bytes) -> bool:
    """Whether it puts a resource into the journal alone: its job was announced before."""
    _, size = CREATED.unpack_from(entry)
    return entry[0] == NEW_NOW and job_record.kind(entry[CREATED.size + size :]) != TriggerKind.NOW


def replaced_job(section: bytes) -> tuple[bytes, int]:
    """Id and creation number of the job that a section is about."""
    size = BEFORE.unpack_from(section, 1)[3]
    at = 1 + BEFORE.size + size
    return section[1 + BEFORE.size : at], job_record.seq(section[at:])
