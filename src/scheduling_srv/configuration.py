"""Where settings come from: the environment, files named by it, the configuration file, defaults.

Whatever is wrong with them is a `StartError` of one sentence that says where it is.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from scheduling_srv import failpoints
from scheduling_srv.domain.errors import StartError
from scheduling_srv.domain.texts import shown
from scheduling_srv.durations import duration_text
from scheduling_srv.setting_types import is_duration
from scheduling_srv.settings import PREFIX, Settings

_FILE = "_FILE"
_NAMES = {name: PREFIX + name.upper() for name in Settings.model_fields}

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
    environment = {name.upper(): value for name, value in os.environ.items() if value}
    _check_names(environment)
    values: dict[str, Any] = {**_file_values(config), **_secrets(environment)}
    try:
        return Settings(**values)
    except ValidationError as error:
        raise StartError(_sentence(error.errors()[0], environment, config)) from None


def describe() -> Iterator[Setting]:
    """Every setting, in order."""
    for name, field in Settings.model_fields.items():
        yield Setting(_NAMES[name], _default(field), field.description or "")


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


def _check_names(environment: Mapping[str, str]) -> None:
    known = [*_NAMES.values(), *(name + _FILE for name in _NAMES.values()), failpoints.VARIABLE]
    for name in environment:
        is_ours = name.startswith(PREFIX) and not _SERVICE_LINK.fullmatch(name)
        if is_ours and name not in known:
            raise StartError(f"{name} is not a setting{_nearest(name, known)}.")


def _secrets(environment: Mapping[str, str]) -> dict[str, object]:
    """Values of settings that stand in a file of their own: `SCHEDULING_..._FILE`."""
    values: dict[str, object] = {}
    for name, variable in _NAMES.items():
        path = environment.get(variable + _FILE)
        if path and variable in environment:
            raise StartError(f"{variable} and {variable}{_FILE} are both set: give one of them.")
        if path:
            values[name] = _read(Path(path), variable + _FILE).rstrip("\r\n")
    return values


def _file_values(path: Path | None) -> dict[str, object]:
    if path is None:
        return {}
    values = _parsed(path)
    if not isinstance(values, dict):
        raise StartError(f"{path} does not hold settings such as 'lease: 3s'.")
    for name in values:
        if name not in _NAMES:
            raise StartError(f"{name} in {path} is not a setting{_nearest(str(name), _NAMES)}.")
    return values


def _parsed(path: Path) -> object:
    text = _read(path, "--config")
    import yaml  # noqa: PLC0415 - 10 ms that most starts need not wait for

    try:
        if path.suffix == ".toml":
            return tomllib.loads(text)
        return yaml.safe_load(text) or {}
    except (tomllib.TOMLDecodeError, yaml.YAMLError, RecursionError) as error:
        kind = "TOML" if path.suffix == ".toml" else "YAML"
        raise StartError(f"{path} is not {kind}: {' '.join(str(error).split())}.") from error


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
    value = "the value" if name in Settings.SECRETS else shown(str(error["input"]))
    return f"{_origin(name, environment, config)}: {value} {problem}."


def _problem(error: ErrorDetails) -> str:
    """What follows the value in the sentence."""
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"])
    if error["type"] == "literal_error":
        return f"is not {context['expected']}"
    return error["msg"].removeprefix("Input ")


def _origin(name: str, environment: Mapping[str, str], config: Path | None) -> str:
    for variable in (_NAMES[name], _NAMES[name] + _FILE):
        if variable in environment:
            return variable
    return f"{name} in {config}"


def _nearest(name: str, known: Iterable[str]) -> str:
    """The prefix does not count: it would make every name look like every other."""
    shorter = {each.removeprefix(PREFIX): each for each in known}
    close = get_close_matches(name.removeprefix(PREFIX), shorter, n=1, cutoff=0.7)
    found = [shorter[each] for each in close]
    return f": did you mean {found[0]}" if found else "; 'scheduling-srv settings' lists them all"
