"""What every test has at hand; the fixtures themselves live in tests/harness/fixtures.py."""

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    add_logs(item, report)
    return report
