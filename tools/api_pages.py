"""Writes docs/reference: scheduling.v1 from its protos, and the reasons of errors: `make docs`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Container, Iterable, Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from scheduling_srv.domain import errors
from scheduling_srv.domain.reasons import DOMAIN, MEANINGS, Reason
from scheduling_srv.entrances.grpc_dead_letters import dead_letter_methods
from scheduling_srv.entrances.grpc_errors import code_of
from scheduling_srv.entrances.grpc_reading import ReadingPorts, reading_methods
from scheduling_srv.entrances.grpc_system import system_methods
from scheduling_srv.entrances.grpc_v1 import Services, built_methods, together
from scheduling_srv.entrances.memory_budget import Limits
from scheduling_srv.formats.v1.dead_letters import DEAD_LETTER_SERVICE
from scheduling_srv.formats.v1.events import EVENT_SERVICE
from scheduling_srv.formats.v1.system import SYSTEM_SERVICE
from tools.wire import PROTOS, V1

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
API, ERRORS = FOLDER / "scheduling-v1.md", FOLDER / "errors.md"
NOTE = "<!-- Written by `make docs` from {}: change that. -->"
INTRODUCTION = """
The API for new clients. Fields that are not set have the default of their type. Errors have
[codes and reasons](errors.md). A method that this version does not have yet is marked: it answers
UNIMPLEMENTED.
"""
ABOUT_ERRORS = f"""
An error has a canonical code, and details of google.rpc. `ErrorInfo` has the domain `{DOMAIN}` and
a stable reason. `BadRequest` names each field at fault by its path, such as
`jobs[3].schedule.interval`. `RetryInfo` says when to send an UNAVAILABLE call again.
"""
PACKAGE = ".scheduling.v1."
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED_ENUMS, _METHODS, _VALUES = 2, 4, 2, 2
"""Numbers of the fields in descriptor.proto, of which the places of comments are made."""

_NO_USE_CASES: Any = None
_NOTHING: list[Any] = [
    *[_NO_USE_CASES] * (len(signature(built_methods).parameters) - 1),
    Limits(0, 0),
]
"""Only the names of methods are asked for."""

Place = tuple[int, ...]
Comments = Mapping[Place, str]


# --- scheduling.v1 ------------------------------------------------------------------------------


def described() -> list[FileDescriptorProto]:
    """The protos of scheduling.v1, with their comments. Clients do not use the stored one."""
    files = [path for path in sorted((PROTOS / V1).glob("*.proto")) if path.stem != "stored"]
    with tempfile.TemporaryDirectory() as made:
        target = Path(made) / "image"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}"]
        options = ["--include_source_info", f"--descriptor_set_out={target}"]
        subprocess.run([*command, *options, *map(str, files)], check=True)
        image = FileDescriptorSet.FromString(target.read_bytes())
    return list(image.file)


class Source(NamedTuple):
    """A file with its comments."""

    file: FileDescriptorProto
    comments: Comments

    @classmethod
    def of(cls, file: FileDescriptorProto) -> Source:
        """Read the comments."""
        found = {
            tuple(place.path): " ".join(place.leading_comments.split())
            for place in file.source_code_info.location
            if place.leading_comments
        }
        return cls(file, found)


def api_page() -> str:
    """The page as it has to be."""
    sources = [Source.of(file) for file in described()]
    services = [source for source in sources if source.file.service]
    parts = [
        "# scheduling.v1",
        NOTE.format("proto/scheduling/v1"),
        _wrapped(INTRODUCTION),
        *(text for source in services for text in _services(source)),
        "## Messages",
        *(text for source in sources for text in _messages(source)),
        "## Enums",
        *(text for source in sources for text in _enums(source)),
    ]
    return "\n\n".join(parts) + "\n"


def _services(source: Source) -> Iterator[str]:
    for index, service in enumerate(source.file.service):
        place = (_SERVICES, index)
        yield f"## {service.name}"
        yield _wrapped(source.comments[place])
        served = _served().get(f"{source.file.package}.{service.name}", {})
        yield _table(("method", "does"), _methods(service, source.comments, place, served))


def _served() -> Services:
    """The methods that this version has."""
    no = _NO_USE_CASES
    return together(
        built_methods(*_NOTHING),
        reading_methods(ReadingPorts(no, no, no, no, no)),
        {
            SYSTEM_SERVICE: system_methods(no),
            DEAD_LETTER_SERVICE: dead_letter_methods(no),
            EVENT_SERVICE: {"WatchEvents": no},
        },
    )


def _methods(
    service: ServiceDescriptorProto, comments: Comments, place: Place, served: Container[str]
) -> Iterator[tuple[str, str]]:
    for index, method in enumerate(service.method):
        name = f"`{method.name}`" + (" (a stream)" if method.server_streaming else "")
        missing = "" if method.name in served else "*Not in this version.* "
        yield name, missing + comments[(*place, _METHODS, index)]


def _messages(source: Source) -> Iterator[str]:
    for index, message in enumerate(source.file.message_type):
        place = (_MESSAGES, index)
        yield f"### {message.name}"
        yield _wrapped(source.comments[place])
        if message.field:
            yield _table(("field", "type", "meaning"), _fields(message, source.comments, place))


def _fields(
    message: DescriptorProto, comments: Comments, place: Place
) -> Iterator[tuple[str, str, str]]:
    maps = {each.name: each for each in message.nested_type if each.options.map_entry}
    for index, field in enumerate(message.field):
        comment = comments[(*place, _FIELDS, index)]
        if field.HasField("oneof_index") and not field.proto3_optional:
            comment = f"{comment} One of `{message.oneof_decl[field.oneof_index].name}`."
        yield f"`{field.name}`", _type_of(field, maps), comment


def _type_of(field: FieldDescriptorProto, maps: Mapping[str, DescriptorProto]) -> str:
    entry = maps.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        return f"map of {_name_of(entry.field[0])} to {_name_of(entry.field[1])}"
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    return ("list of " if repeated else "") + _name_of(field)


def _name_of(field: FieldDescriptorProto) -> str:
    if not field.type_name:
        return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    if not field.type_name.startswith(PACKAGE):
        return field.type_name.rpartition(".")[2]
    name = field.type_name.removeprefix(PACKAGE)
    return f"[{name}](#{name.lower().replace('.', '')})"


def _enums(source: Source) -> Iterator[str]:
    for index, enum in enumerate(source.file.enum_type):
        yield from _enum(enum, enum.name, source.comments, (_ENUMS, index))
    for index, message in enumerate(source.file.message_type):
        for number, enum in enumerate(message.enum_type):
            place = (_MESSAGES, index, _NESTED_ENUMS, number)
            yield from _enum(enum, f"{message.name}.{enum.name}", source.comments, place)


def _enum(enum: EnumDescriptorProto, name: str, comments: Comments, place: Place) -> Iterator[str]:
    yield f"### {name}"
    yield _wrapped(comments[place])
    rows = (
        (f"`{value.name}`", str(value.number), comments[(*place, _VALUES, index)])
        for index, value in enumerate(enum.value)
    )
    yield _table(("value", "number", "meaning"), rows)


def _wrapped(text: str) -> str:
    return textwrap.fill(
        " ".join(text.split()), 100, break_long_words=False, break_on_hyphens=False
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


# --- Errors -------------------------------------------------------------------------------------


def codes() -> dict[Reason, str]:
    """Reason -> its canonical code, from the classes of errors."""
    found = {Reason.INTERNAL: "INTERNAL"}
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.SchedulingError):
            found.setdefault(kind.reason, code_of(kind("")).name)
    return found


def errors_page() -> str:
    """The page as it has to be."""
    rows = ((f"`{reason}`", codes()[reason], MEANINGS[reason]) for reason in Reason)
    parts = [
        "# Errors of scheduling.v1",
        NOTE.format("server/src/scheduling_srv/domain/reasons.py"),
        _wrapped(ABOUT_ERRORS),
        _table(("reason", "code", "meaning"), rows),
    ]
    return "\n\n".join(parts) + "\n"


PAGES = {API: api_page, ERRORS: errors_page}

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, page in PAGES.items():
        path.write_text(page())
