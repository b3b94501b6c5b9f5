"""The commands and their options. Heavy imports are inside the commands, so help is fast."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from cyclopts.exceptions import UnusedCliTokensError

from scheduling_client.schedules.texts import shown
from scheduling_srv import __version__
from scheduling_srv.cli import serve as serving
from scheduling_srv.domain.errors import StartError

SHORTEST_PASSWORD = 12
"""Characters."""

app = App(
    name="scheduling-srv",
    help="A durable job scheduler: every due run is emitted to Kafka exactly once.",
    help_epilogue="Settings come from the environment: `scheduling-srv settings` lists them.",
    version=__version__,
)


@app.command
def serve(
    *,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    embedded: Annotated[bool, Parameter(negative="")] = False,
    data_dir: Path | None = None,
    test_clock: Annotated[bool, Parameter(negative="")] = False,
    clock_start: datetime | None = None,
) -> int:
    """Run one replica until SIGTERM or Ctrl-C.

    Parameters
    ----------
    config
        TOML or YAML file with settings, such as `lease: 3s`. The environment takes precedence.
    embedded
        Start an own Valkey and broker, to try the service without servers.
    data_dir
        Directory for the data of the embedded Valkey. Without it, jobs are lost at the end.
    test_clock
        With --embedded: the clock stands still until `scheduling advance` moves it.
    clock_start
        Where the test clock begins, such as 2030-03-30T12:00:00; without a zone it is UTC.
    """
    return serving.serve(
        config=config,
        embedded=embedded,
        data_dir=data_dir,
        test_clock=test_clock,
        clock_start=clock_start,
    )


@app.command
def version(*, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """Show the version of the service and of Python.

    Parameters
    ----------
    as_json
        As a JSON object.
    """
    versions = {"version": __version__, "python": platform.python_version()}
    if as_json:
        _say(json.dumps(versions))
    else:
        _say(f"scheduling-srv {versions['version']} (Python {versions['python']})")
    return 0


@app.command
def health(
    *,
    live: Annotated[bool, Parameter(negative="")] = False,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
) -> int:
    """Ask the replica on this host, by its settings: exit code 0 if it serves, else 1.

    Parameters
    ----------
    live
        Ask only whether the process answers.
    config
        TOML or YAML file with settings. The environment takes precedence.
    """
    from scheduling_srv.cli.health import health as ask  # noqa: PLC0415
    from scheduling_srv.settings.load import load  # noqa: PLC0415

    return ask(load(config), live=live)


@app.command
def token(name: str, *, role: str = "operator") -> int:
    """Make a token for a caller: print it, and the entry for the file of callers.

    The file holds a hash of the token, so the token cannot be found out from it.

    Parameters
    ----------
    name
        Name of the caller, as logs show it.
    role
        reader, operator or admin.
    """
    from scheduling_srv.adapters.credentials.caller_file import entry, make_token  # noqa: PLC0415

    made = make_token()
    _say(f"{made}\n\n{entry(name, role, made)}")
    return 0


@app.command
def password(name: str, *, role: str = "operator") -> int:
    """Read a password, and print the entry of its caller for the file of callers.

    The caller signs in at the admin pages with it. The file holds a slow hash of the password.

    Parameters
    ----------
    name
        Name of the caller, as logs show it.
    role
        reader, operator or admin.
    """
    from getpass import getpass  # noqa: PLC0415

    from scheduling_srv.adapters.credentials.caller_file import password_entry  # noqa: PLC0415

    terminal = sys.stdin.isatty()
    typed = getpass("Password: ") if terminal else sys.stdin.readline().rstrip("\r\n")
    if len(typed) < SHORTEST_PASSWORD:
        raise StartError(f"The password is shorter than {SHORTEST_PASSWORD} characters.")
    if terminal and getpass("Again: ") != typed:
        raise StartError("The two passwords differ.")
    _say(password_entry(name, role, typed))
    return 0


@app.command
def settings(*, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """List every setting: its name in the environment, its default and its meaning.

    In a configuration file, write the name without SCHEDULING_ and in small letters. Any setting
    may have its own file: append _FILE to its variable to name that file.

    Parameters
    ----------
    as_json
        As a JSON list of objects.
    """
    from scheduling_srv.settings.load import describe  # noqa: PLC0415

    rows = list(describe())
    if as_json:
        _say(json.dumps([row._asdict() for row in rows], indent=2))
        return 0
    for row in rows:
        _say(f"{row.environment} = {row.default}\n    {row.meaning}")
    return 0


@app.command
def audit(
    *,
    since: str = "1h",
    until: str = "now",
    late: str = "1s",
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Compare the expected runs with the runs on the topics. Only reads.

    Exits with 0 if every run is there, once and not early. Exits with 1 if a run is missing,
    doubled or early. Late runs, and runs that `parallel` holds back, are listed but break no
    promise. Missing runs of `now` jobs are not found.

    Parameters
    ----------
    since
        Start: a duration ago, such as 1h, or an instant such as 2026-01-15T10:30:00Z.
    until
        End, written the same way; not in the future.
    late
        Runs that were later than this are listed.
    config
        TOML or YAML file with settings. The environment takes precedence.
    as_json
        As a JSON object.
    """
    from scheduling_srv.cli.audit import audit as run_audit  # noqa: PLC0415
    from scheduling_srv.settings.load import load  # noqa: PLC0415

    return run_audit(load(config), since=since, until=until, late=late, as_json=as_json)


@app.command
def doctor(
    *,
    strict: Annotated[bool, Parameter(negative="")] = False,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Check Redis, Kafka, rights, clocks and settings before a start.

    Each line says how something stands; the line after it, how to mend it. No stored data is
    changed. Exits with 1 if a promise cannot be kept, else with 0.

    Parameters
    ----------
    strict
        Exit with 1 also if a promise is at risk.
    config
        TOML or YAML file with settings, as for serve. The environment takes precedence.
    as_json
        As a JSON list of objects.
    """
    from scheduling_srv.cli.doctor import doctor as examine  # noqa: PLC0415
    from scheduling_srv.settings.load import load  # noqa: PLC0415

    return examine(load(config), strict=strict, as_json=as_json)


def run(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit code. Raises `StartError`, also for a wrong command line."""
    try:
        code: int | None = app(
            arguments,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except UnusedCliTokensError as error:
        raise StartError(_superfluous(error)) from None
    except CycloptsError as error:
        raise StartError(str(error)) from None
    return code or 0


def _superfluous(error: UnusedCliTokensError) -> str:
    command = " ".join(["scheduling-srv", *(error.command_chain or ())])
    unused = ", ".join(map(shown, error.unused_tokens or ()))
    return f"{command!r} takes no argument {unused}: {f'{command} --help'!r} lists its options."


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
