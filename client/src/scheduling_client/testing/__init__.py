"""Tests of handlers without Kafka, and of schedules on a service whose clock a test moves.

`run_one` and `a_run` need nothing else. `ClockedService` starts a service: it needs the package
`scheduling-srv[embedded]`. pytest finds the fixtures `run_one` and `clocked_service` if a test
suite names this module: `pytest_plugins = ["scheduling_client.testing"]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scheduling_client.testing.clocked import ClockedService
from scheduling_client.testing.runs import a_run, run_one
from scheduling_client.worker import Ended

__all__ = ["ClockedService", "a_run", "run_one"]

try:
    import pytest
except ImportError:
    pass
else:

    @pytest.fixture(name="run_one")
    def _run_one() -> Callable[..., Ended]:
        """The function `run_one` of this module."""
        return run_one

    @pytest.fixture(name="clocked_service")
    def _clocked_service() -> Iterator[ClockedService]:
        """A service of the test's own, whose clock stands still until the test advances it."""
        with ClockedService() as service:
            yield service
