"""What every test has at hand; the fixtures themselves live in tests/harness/fixtures.py."""

import gc
import inspect
import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.harness import slow_machine
from tests.harness.bounded import bounded
from tests.harness.fixtures import (
    add_logs,
    breakable_kafka,
    breakable_valkey,
    kafka,
    names,
    no_leaked_keys,
    own_kafka,
    own_valkey,
    service,
    valkey,
)

__all__ = [
    "breakable_kafka",
    "breakable_valkey",
    "kafka",
    "names",
    "no_leaked_keys",
    "own_kafka",
    "own_valkey",
    "service",
    "valkey",
]

# The tests start the service hundreds of times. Without compiled files each start takes seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The gate tries the same examples every time; HYPOTHESIS_PROFILE=explore looks for new ones.
# How long it takes to make examples says something of the machine, not of the code.
patient = [HealthCheck.too_slow]
settings.register_profile(
    "gate", derandomize=True, deadline=None, print_blob=True, suppress_health_check=patient
)
settings.register_profile("explore", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The event loop that the product runs on."""
    return "asyncio", {"use_uvloop": True}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Among several processes the longest files come first, the shortest fill the gaps."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        times: Counter[Path] = Counter()
        for item in items:
            times[item.path] += expected_ms(item)
        items.sort(key=lambda item: (-times[item.path], item.path))


def expected_ms(item: pytest.Item) -> int:
    """About how long a test takes: what it starts decides."""
    fixtures = {*getattr(item, "fixturenames", ())}
    if fixtures & {"deploy", "service", "environment"}:  # replicas of its own, or a demonstration
        return 3_000
    if fixtures & {"product", "story", "deployment"}:  # jobs that fall due
        return 1_000
    return 100 if fixtures & {"kafka", "valkey", "own_kafka", "own_valkey"} else 20


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: collections need not look at them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _left_open() -> Generator[None]:
    """A resource that a test left open fails that test, and each time."""
    yield
    gc.collect()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """With TEST_DELAY_MS each test has delays of its own."""
    slow_machine.begin(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """An asynchronous test that hangs is ended in its own task."""
    test = pyfuncitem.obj
    if inspect.iscoroutinefunction(test) and not hasattr(test, "hypothesis"):
        pyfuncitem.obj = bounded(test)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    add_logs(item, report)
    return report
