"""Completion of the command line."""

from __future__ import annotations

from typing import Literal

from scheduling_client.cli.output import say


def completion(shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print a script that completes commands and options.

    For bash: `scheduling completion bash > ~/.local/share/bash-completion/completions/scheduling`.

    Parameters
    ----------
    shell
        The shell that is to complete.
    """
    from scheduling_client.cli.app import build  # noqa: PLC0415 - it knows this command

    say(build(whole=True).generate_completion(shell=shell))
