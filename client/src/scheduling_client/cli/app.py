"""The commands of `scheduling`, and how each of them ends. gRPC is imported by those that call."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from cyclopts import App, CycloptsError, Parameter

from scheduling_client.cli.errors import CommandError, Exit

PACKAGE = "scheduling_client.cli.commands"
COMMANDS = {
    "preview": "preview:preview",
    "create": "create:create",
    "list": "jobs:list_jobs",
    "show": "jobs:show",
    "next": "jobs:next_runs",
    "update": "jobs:update",
    "delete": "jobs:delete",
    "pause": "pauses:pause",
    "resume": "pauses:resume",
    "paused": "pauses:paused",
    "run": "running:run",
    "runs": "runs:runs",
    "explain": "explain:explain",
    "cancel": "running:cancel",
    "retry": "runs:retry",
    "backfill": "running:backfill",
    "top": "top:top",
    "worker": "worker:worker",
    "apply": "sets:apply",
    "diff": "sets:diff",
    "export": "sets:export",
    "watch": "watch:watch",
    "dead-letters": "dead_letters:dead_letters",
    "doctor": "doctor:doctor",
    "system": "doctor:system",
    "health": "system:health",
    "version": "system:version",
    "restore": "system:restore",
    "reset": "system:reset",
    "advance": "clock:advance",
    "completion": "completion:completion",
}
"""Where each command is. Only the module of the given one is imported."""
_HELP = ("--help", "-h")


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - it takes 20 ms

    return version("scheduling-client")


def build(*, whole: bool) -> App:
    """The command line. The `whole` one knows the help of all commands: it imports them."""
    app = App(
        name="scheduling",
        help="Create, show and change scheduled jobs.",
        help_epilogue=(
            "Options come from the command line, else from SCHEDULING_CLIENT_SERVER, _PROFILE,"
            " _OUTPUT, _ZONE, _TIMEOUT, _TOKEN, _TOKEN_FILE, _TLS, _CA, _CERT and _KEY, else from"
            " the profile file."
        ),
        version=_version,
        default_parameter=Parameter(negative="", negative_iterable=""),
    )
    for name, place in COMMANDS.items():
        module, function = f"{PACKAGE}.{place}".split(":")
        command = getattr(import_module(module), function) if whole else f"{module}:{function}"
        app.command(command, name=name)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit code."""
    app = build(whole=not arguments or arguments[0] in _HELP)
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CommandError as error:
        return _ended(str(error), error.code)
    except CycloptsError as error:
        return _ended(f"{error} See: scheduling --help.", Exit.WRONG)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:  # `scheduling list | head`
        sys.stderr.close()
        return Exit.DONE
    return int(code or 0)


def _ended(sentence: str, code: Exit) -> int:
    sys.stderr.write(f"scheduling: {' '.join(sentence.split())}\n")
    return code
