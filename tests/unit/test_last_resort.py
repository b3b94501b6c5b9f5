"""A process ends and reports although its interpreter does not run."""

import signal
import subprocess
import sys

import pytest

LOCKED = """
import ctypes
def holds_the_lock(): ctypes.PyDLL(None).sleep(60)
holds_the_lock()
"""
"""A call of native code that keeps the interpreter's lock."""
WAITING = "import time; print(flush=True); time.sleep(60)"


def program(first: str, then: str) -> subprocess.Popen[str]:
    code = f"from scheduling_srv.runtime import last_resort; last_resort.{first}\n{then}"
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe)


@pytest.mark.parametrize("code", [0, 1])
def test_a_process_that_waits_ends_in_time_with_its_code(code: int) -> None:
    with program(f"end_within(0.1, {code})", WAITING) as process:
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (code, "")


def test_a_process_that_native_code_holds_ends_in_time_and_says_where() -> None:
    with program("end_within(0.1, 0)", LOCKED) as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "in holds_the_lock" in said


def test_a_process_writes_its_stacks_when_asked_and_goes_on() -> None:
    with program("report()", "print(flush=True); input(); print('went on')") as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.send_signal(signal.SIGUSR1)
        assert "most recent call first" in process.stderr.readline()
        said, _ = process.communicate("\n", timeout=30)
    assert (process.returncode, said) == (0, "went on\n")


def test_a_crash_of_native_code_is_reported() -> None:
    crash = "import faulthandler\ndef crashes(): faulthandler._sigsegv()\ncrashes()"
    with program("report()", crash) as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGSEGV
    assert "in crashes" in said
