"""Which fields of its items an answer holds: `JobReadRequest.field` (docs/contract.md).

A name is that of a field, such as `interval`, or of a field within a message field, such as
`data.payload`. With names to include, only those fields are left. Fields to exclude are removed
from these. Without any name, all fields are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from scheduling_client.schedules.texts import shown
from scheduling_srv.domain.errors import InvalidRequest, Violation

Path = tuple[str, ...]


class Selection(NamedTuple):
    """The fields to remove from each message."""

    cleared: Sequence[Path]
    known_only: bool
    """Unknown fields are removed as well: the request cannot name them."""

    def apply(self, message: Message) -> None:
        """Remove the fields that were not selected from `message`."""
        for *parents, name in self.cleared:
            target: Message | None = message
            for parent in parents:
                target = _child(target, parent)
            if target is not None:
                target.ClearField(name)
        if self.known_only:
            message.DiscardUnknownFields()


def select(kind: Descriptor, filters: Sequence[tuple[str, bool]]) -> Selection | None:
    """The selection that `filters` (name, include) ask for; None: everything.

    Raises `InvalidRequest` for a name that `kind` does not have.
    """
    if not filters:
        return None
    leaves = list(_leaves(kind))
    known = {path[:size] for path in leaves for size in range(1, len(path) + 1)}
    included = _named(known, filters, include=True)
    excluded = _named(known, filters, include=False)
    gone = [
        path
        for path in leaves
        if (included and not _within(path, included)) or _within(path, excluded)
    ]
    return Selection(list(_merged(gone, leaves)), known_only=bool(included))


def _leaves(kind: Descriptor, above: Path = ()) -> Iterator[Path]:
    for field in kind.fields:
        if field.message_type is not None and not field.is_repeated:
            yield from _leaves(field.message_type, (*above, field.name))
        else:
            yield (*above, field.name)


def _named(known: set[Path], filters: Sequence[tuple[str, bool]], *, include: bool) -> set[Path]:
    paths = {index: tuple(name.split(".")) for index, (name, _) in enumerate(filters)}
    for index, path in paths.items():
        if path not in known:
            sentence = f"A job has no field named {shown('.'.join(path))}."
            raise InvalidRequest(sentence, [Violation(f"field[{index}].name", sentence)])
    return {paths[index] for index, (_, included) in enumerate(filters) if included is include}


def _within(path: Path, named: set[Path]) -> bool:
    return any(path[:size] in named for size in range(1, len(path) + 1))


def _merged(gone: Sequence[Path], leaves: Sequence[Path]) -> Iterator[Path]:
    """A message field goes as a whole if all of its fields go."""
    left = {path[:size] for path in leaves if path not in gone for size in range(1, len(path) + 1)}
    for path in gone:
        size = next(size for size in range(1, len(path) + 1) if path[:size] not in left)
        yield path[:size]


def _child(message: Message | None, name: str) -> Message | None:
    if message is None or not message.HasField(name):
        return None
    child: Message = getattr(message, name)
    return child
