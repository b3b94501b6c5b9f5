"""Sources of settings: the environment, files named by it, the configuration file, defaults.

Any fault in them is a `StartError`: one sentence that names the place of the fault.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from scheduling_client.schedules.durations import duration_text
from scheduling_client.schedules.texts import shown
from scheduling_srv.domain.errors import StartError
from scheduling_srv.runtime import failpoints
from scheduling_srv.settings.model import COMMAND_LINE, PREFIX, Settings
from scheduling_srv.settings.types import is_duration

if TYPE_CHECKING:
    import yaml

FILE = "_FILE"
"""End of a variable that names a file with the value."""
MEANT = (":null", ":merge")
"""Ends of the tags that plain words of YAML may get."""
NAMES = {name: PREFIX + name.upper() for name in Settings.model_fields}

_WORDS = {
    "int": "is not a whole number",
    "bool": "is not 'true' or 'false'",
    "path": "is not a path: put it between quotation marks",
    "string": "is not a text: put it between quotation marks",
}
"""Problems by the beginning of pydantic's names for them."""

# How tomllib says that a key, or a table, stands twice.
_TWICE = re.compile(
    r"Cannot (?:overwrite a value|declare \(.*\) twice) \(at (?:line (?P<line>\d+)|end)"
)

# A Kubernetes Service called "scheduling" or "scheduling-srv" puts these into every container.
_SERVICE_LINK = re.compile(
    r"SCHEDULING_(?:\w+_)?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)"
)


class Setting(NamedTuple):
    """One row of the table of settings."""

    environment: str
    default: str
    meaning: str


def load(config: Path | None = None) -> Settings:
    """The settings of this process. Raises `StartError`."""
    environment = _environment()
    in_file = _file_values(config)
    faults = [*_wrong_variables(environment), *_wrong_names(in_file, config)]
    values: dict[str, Any] = {name: in_file[name] for name in in_file if name in NAMES}
    values |= _secrets(environment)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        # Several errors about one setting are about the forms that its value may have.
        first = {each["loc"][:1]: each for each in reversed(error.errors()) if _is_told(each)}
        faults += [_sentence(each, environment, config) for each in reversed(first.values())]
    if faults:
        raise StartError(" ".join(faults))
    return settings.read_from(config)


def _environment() -> dict[str, str]:
    """Variables by their names in capitals. Raises `StartError` for a setting in two spellings."""
    given = dict[str, str]()
    for name, value in os.environ.items():
        if value and name.upper().startswith(PREFIX):
            other = given.setdefault(name.upper(), name)
            if other != name:
                first, second = sorted((other, name))
                raise StartError(f"{first} and {second} are both set: give one of them.")
    return {name: os.environ[spelling] for name, spelling in given.items()}


def describe() -> Iterator[Setting]:
    """Every setting, in order."""
    for name, field in Settings.model_fields.items():
        yield Setting(NAMES[name], _default(field), field.description or "")


def _default(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    default = extra["default"] if isinstance(extra, dict) else field.get_default()
    if isinstance(default, int) and is_duration(field.metadata):
        return duration_text(default)
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ",".join(default)
    return "" if default is None else str(default)


def _wrong_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that looks like a setting and is none."""
    known = [*NAMES.values(), *(name + FILE for name in NAMES.values()), failpoints.VARIABLE]
    for name in environment:
        is_ours = name.startswith(PREFIX) and not name.startswith(COMMAND_LINE)
        is_ours = is_ours and not _SERVICE_LINK.fullmatch(name)
        if is_ours and name not in known:
            yield f"{name} is not a setting{_nearest(name, known)}"


def _secrets(environment: Mapping[str, str]) -> dict[str, object]:
    """Values of settings that stand in a file of their own: `SCHEDULING_..._FILE`."""
    values: dict[str, object] = {}
    for name, variable in NAMES.items():
        path = environment.get(variable + FILE)
        if path and variable in environment:
            raise StartError(f"{variable} and {variable}{FILE} are both set: give one of them.")
        if path:
            values[name] = _read(Path(path), variable + FILE).rstrip("\r\n")
    return values


def _file_values(path: Path | None) -> dict[str, object]:
    """The values in the file; its suffix need not name its format. Raises `StartError`."""
    if path is None:
        return {}
    values = _parsed(path)
    if not isinstance(values, dict):
        raise StartError(f"{path} does not hold settings such as 'lease: 3s'.")
    return {str(name): value for name, value in values.items() if value not in (None, "")}


def _wrong_names(values: Mapping[str, object], path: Path | None) -> Iterator[str]:
    """A sentence for each key of the file that is no setting."""
    for name, value in values.items():
        if name not in NAMES:
            found = _nested(name, value) or _nearest(name, NAMES)
            yield f"{name} in {path} is not a setting{found}"


def _nested(name: str, value: object) -> str:
    """The setting that a nested key means, as the end of a sentence; or nothing."""
    for key in value if isinstance(value, dict) else ():
        for meant in (_plain(f"{name}_{key}"), _plain(str(key))):
            if meant in NAMES:
                return f": settings are not nested, so write {meant} at the top level."
    return ""


def _parsed(path: Path) -> object:
    text = _read(path, "--config")
    import yaml  # noqa: PLC0415 - 10 ms that most starts need not wait for

    try:
        if path.suffix == ".toml":
            return _toml(path, text)
        loader = _texts_only()
        _check_keys(path, yaml.compose(text, loader))
        return yaml.load(text, loader) or {}  # noqa: S506 - it is a SafeLoader
    except (tomllib.TOMLDecodeError, yaml.YAMLError, RecursionError) as error:
        kind = "TOML" if path.suffix == ".toml" else "YAML"
        raise StartError(f"{path} is not {kind}: {' '.join(str(error).split())}.") from error


def _toml(path: Path, text: str) -> object:
    """Raises `StartError` for a key that stands twice, and `TOMLDecodeError`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _TWICE.search(str(error))
        if not found:
            raise
        lines = text.rstrip().splitlines()
        last = int(found["line"]) if found["line"] else len(lines)
        key = _toml_key(lines[last - 1])
        first = next((n for n in range(last - 1, 0, -1) if _toml_key(lines[n - 1]) == key), None)
        if not key or first is None:
            raise
        raise _twice(key, path, first, last) from None


def _toml_key(line: str) -> str:
    """The key, or the name of the table, that a line begins with."""
    key = line.partition("=")[0] if "=" in line else line.partition("#")[0].strip(" []")
    return key.strip(" \t\"'")


def _twice(key: str, path: Path, first: int, last: int) -> StartError:
    places = f"in line {first}" if first == last else f"in the lines {first} and {last}"
    return StartError(f"{shown(key)} stands twice in {path}, {places}: keep one of them.")


def _texts_only() -> type[yaml.SafeLoader]:
    """YAML whose plain words are texts, as in the environment: `off` is no boolean.

    `null` and merge keys keep their meaning.
    """
    import yaml  # noqa: PLC0415 - as above

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {  # noqa: RUF012 - so PyYAML calls it
            first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith(MEANT)]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    return Loader


def _check_keys(path: Path, document: yaml.Node | None) -> None:
    """Raise `StartError` for a key that stands twice: YAML's reader would keep the last one."""
    import yaml  # noqa: PLC0415 - as above

    nodes, seen = [document], set[int]()
    for node in nodes:
        if id(node) in seen:  # an alias may refer to a node that contains it
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            lines = dict[tuple[str, str], int]()
            for key, value in node.value:
                nodes.append(value)
                line = key.start_mark.line + 1
                name = (key.tag, str(key.value))
                if name in lines:
                    raise _twice(str(key.value), path, lines[name], line)
                lines[name] = line


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise StartError(f"Cannot read {path} ({what}): {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise StartError(f"Cannot read {path} ({what}): it is not UTF-8 text.") from error


def _sentence(error: ErrorDetails, environment: Mapping[str, str], config: Path | None) -> str:
    problem = _problem(error)
    if not error["loc"]:
        return f"Wrong settings: {problem}."
    name = str(error["loc"][0])
    value = "the value" if name in Settings.SECRETS else shown(_as_written(error["input"]))
    return f"{_origin(name, environment, config)}: {value} {problem}."


def _is_told(error: ErrorDetails) -> bool:
    """Whether it is a fault by itself, and not a default that another one has prevented."""
    return error["type"] != "default_factory_not_called"


def _as_written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _problem(error: ErrorDetails) -> str:
    """The fault, in our own words: the end of the sentence about the value."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"is not {context['expected']}"
    if kind in {"greater_than_equal", "less_than_equal"}:
        least, most = _bounds(str(error["loc"][0]))
        return f"is not between {least} and {most}"
    return _WORDS.get(kind.partition("_")[0], f"is not accepted: {error['msg']}")


def _bounds(name: str) -> tuple[object, object]:
    """The least and the greatest value of a number."""
    metadata = Settings.model_fields[name].metadata
    return tuple(
        next(getattr(each, end) for each in metadata if hasattr(each, end)) for end in ("ge", "le")
    )


def _origin(name: str, environment: Mapping[str, str], config: Path | None) -> str:
    return _variable(name, environment) or f"{name} in {config}"


def origin(name: str, settings: Settings) -> str:
    """The place to correct: the variable, or the key of the configuration file."""
    if variable := _variable(name, _environment()):
        return variable
    is_in_file = name in settings.model_fields_set
    return f"{name} in the configuration file" if is_in_file else NAMES[name]


def _variable(name: str, environment: Mapping[str, str]) -> str:
    """The variable that sets it; empty if there is none."""
    given = (each for each in (NAMES[name], NAMES[name] + FILE) if each in environment)
    return next(given, "")


def _nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that is wrong.

    Only the words of a name count: its prefix would make it look like every other.
    """
    shorter = {_plain(each): each for each in known}
    close = get_close_matches(_plain(name), shorter, n=1, cutoff=0.7)
    found = [shorter[each] for each in close]
    return f": did you mean {found[0]}?" if found else "; 'scheduling-srv settings' lists them all."


def _plain(name: str) -> str:
    """The spelling in files: `grpc_address` for `SCHEDULING_GRPC_ADDRESS`, `grpcAddress`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^A-Za-z0-9]+", "_", words).lower().removeprefix(PREFIX.lower())
