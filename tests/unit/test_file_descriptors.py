"""File descriptors: enough of them, and a line when none is left."""

import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

from scheduling_srv.runtime import file_descriptors
from scheduling_srv.runtime.states import Kind, State, States

LOW_HARD_LIMIT = """
import resource
from scheduling_srv.runtime import file_descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
file_descriptors.raise_limit(5_000)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.fixture
def hard() -> Iterator[int]:
    """A soft limit of 600 for one test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (600, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_soft_limit_is_raised_and_never_lowered(hard: int) -> None:
    with capture_logs() as lines:
        for wanted in (700, 650):
            file_descriptors.raise_limit(wanted)
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (700, hard)
    assert not lines


def test_a_hard_limit_that_is_too_low_is_logged() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOW_HARD_LIMIT], capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[-1] == "(200, 200)"
    assert "the hard limit of open files is too low" in ran.stdout
    assert "wanted=5000" in ran.stdout


@pytest.mark.usefixtures("hard")
def test_it_is_logged_when_no_descriptor_is_left_and_when_there_is_one_again() -> None:
    state = State("none is left", "some are left", kind=Kind.CAUSE, states=States())
    with capture_logs() as lines, ExitStack() as stack:
        file_descriptors.look(state)
        assert not lines
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                stack.enter_context(socket.socket())
        for _ in range(3):
            file_descriptors.look(state)
        stack.close()
        file_descriptors.look(state)
    assert [line["event"] for line in lines] == ["none is left", "some are left"]
    assert lines[0]["reason"].startswith("Too many open files: this process may open 600.")
