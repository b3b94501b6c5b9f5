"""Where the service is and how results are shown: options, environment, profile, defaults.

An option of the command line goes first, then a variable `SCHEDULING_CLIENT_*`, then the profile.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cyclopts import Parameter

from scheduling_client.cli.errors import wrong
from scheduling_client.schedules.durations import parse_duration
from scheduling_client.schedules.errors import ScheduleError
from scheduling_client.schedules.zone import UTC, zone

PREFIX = "SCHEDULING_CLIENT_"
Output = Literal["table", "json", "yaml", "name"]
OUTPUTS: tuple[str, ...] = get_args(Output)
DEFAULTS = {
    "server": "127.0.0.1:50054",
    "output": "table",
    "timeout": "20s",
    "zone": "",
    "token": "",
    "token_file": "",
    "tls": "",
    "ca": "",
    "cert": "",
    "key": "",
}
"""By their names in profiles. An empty zone is that of this machine."""
YES, NO = ("true", "yes", "1"), ("false", "no", "0", "")
VARIABLES = frozenset(PREFIX + name.upper() for name in (*DEFAULTS, "profile", "profiles"))
"""All that the command reads of the environment, beside TZ, NO_COLOR and XDG_CONFIG_HOME."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Common:
    """Options that every command has."""

    server: Annotated[
        str | None, Parameter(help="Address of the service, such as `127.0.0.1:50054`.")
    ] = None
    profile: Annotated[str | None, Parameter(help="Profile of the profile file to use.")] = None
    output: Annotated[
        Output | None, Parameter(name=["--output", "-o"], help="How results are shown.")
    ] = None
    zone: Annotated[
        str | None, Parameter(help="Time zone in which times are shown; default: this machine's.")
    ] = None
    utc: Annotated[bool, Parameter(negative="", help="Show times in UTC.")] = False
    timeout: Annotated[
        str | None, Parameter(help="How long to wait for an answer, such as `20s`.")
    ] = None
    token: Annotated[
        str | None, Parameter(help="Token; other users of this machine may see it here.")
    ] = None
    token_file: Annotated[str | None, Parameter(help="File that holds the token.")] = None
    tls: Annotated[bool, Parameter(negative="", help="Use TLS; `--ca` and `--cert` imply it.")] = (
        False
    )
    ca: Annotated[
        str | None,
        Parameter(help="PEM file of the authority of the service's certificate."),
    ] = None
    cert: Annotated[str | None, Parameter(help="PEM file of this client's certificate.")] = None
    key: Annotated[str | None, Parameter(help="PEM file of its key.")] = None


@dataclass(frozen=True, slots=True)
class Options:
    """What the command was asked for, from all sources."""

    server: str
    output: Output
    zone: ZoneInfo
    timeout_seconds: float
    token: str = field(default="", repr=False)
    tls: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""


def resolve(common: Common | None) -> Options:
    """Read the options. Raises `CommandError`."""
    given = common or Common()
    settings = _merged(DEFAULTS, _profile(given.profile), _environment(), _on_the_line(given))
    if settings["output"] not in OUTPUTS:
        raise wrong(f"Output {settings['output']!r} is not known: give one of {_list(OUTPUTS)}.")
    try:
        timeout_ms = parse_duration(settings["timeout"])
    except ValueError as error:
        raise wrong(f"The timeout {settings['timeout']!r} {error}.") from None
    return Options(
        settings["server"],
        cast("Output", settings["output"]),
        _zone(settings["zone"]),
        timeout_ms / 1000,
        token=_token(settings),
        tls=_flag("tls", settings["tls"]) or bool(settings["ca"] or settings["cert"]),
        **{name: _path(settings[name]) for name in ("ca", "cert", "key")},
    )


def _token(settings: Mapping[str, str]) -> str:
    """The token, also if a file holds it."""
    path = _path(settings["token_file"])
    if settings["token"] or not path:
        return settings["token"]
    try:
        return Path(path).read_text().strip()
    except (OSError, ValueError) as error:
        raise wrong(f"The token file {path} cannot be read: {error}.") from None


def _path(text: str) -> str:
    return str(Path(text).expanduser()) if text else ""


def _flag(name: str, text: str) -> bool:
    if text.lower() not in (*YES, *NO):
        raise wrong(f"{name} is {text!r}: it is true or false.")
    return text.lower() in YES


def _merged(*sources: Mapping[str, str]) -> dict[str, str]:
    """The later a source, the more it counts. A file of a token replaces an earlier token."""
    settings = dict[str, str]()
    for source in sources:
        if "token_file" in source:
            settings["token"] = ""
        settings |= source
    return settings


def _on_the_line(given: Common) -> dict[str, str]:
    values = {name: getattr(given, name) for name in DEFAULTS if name != "tls"}
    if given.tls:
        values["tls"] = "true"
    if given.utc:
        values["zone"] = "UTC"
    return {name: value for name, value in values.items() if value is not None}


def _environment() -> dict[str, str]:
    values = {name: os.environ.get(PREFIX + name.upper()) for name in DEFAULTS}
    return {name: value for name, value in values.items() if value}


def _zone(name: str) -> ZoneInfo:
    try:
        return zone(name) if name else local_zone()
    except ScheduleError as error:
        raise wrong(str(error)) from None


def local_zone() -> ZoneInfo:
    """The zone of this machine: TZ, else where /etc/localtime leads; UTC if neither tells."""
    name = os.environ.get("TZ", "").removeprefix(":")
    if not name:
        _, found, name = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")
        name = name if found else ""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


# --- Profiles -----------------------------------------------------------------------------------


def profile_file() -> Path:
    """`SCHEDULING_CLIENT_PROFILES`, else `scheduling/profiles.toml` in the user's configuration."""
    named = os.environ.get(f"{PREFIX}PROFILES")
    if named:
        return Path(named)
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "scheduling" / "profiles.toml"


def _profile(named: str | None) -> dict[str, str]:
    """The values of the profile that was asked for, else of the default one."""
    path = profile_file()
    wanted = named or os.environ.get(f"{PREFIX}PROFILE")
    if not path.exists():
        if wanted:
            raise wrong(f"Profile {wanted!r} is not known: there is no file {path}.")
        return {}
    content = _read(path)
    profiles = content.get("profiles", {})
    wanted = wanted or content.get("default")
    if wanted is None:
        return {}
    if wanted not in profiles:
        raise wrong(f"Profile {wanted!r} is not in {path}: it has {_list(profiles) or 'none'}.")
    return _checked(wanted, profiles[wanted], path)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise wrong(f"The profile file {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise wrong(f"The profile file {path} is not TOML: {error}.") from None


def _checked(name: str, profile: Mapping[str, Any], path: Path) -> dict[str, str]:
    for key, value in profile.items():
        if key not in DEFAULTS:
            raise wrong(f"Profile {name!r} in {path} has {key!r}: it may have {_list(DEFAULTS)}.")
        if not isinstance(value, str):
            raise wrong(f"Profile {name!r} in {path}: {key} is a text.")
    return dict(profile)


def _list(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(names)
