"""The bugs that campaigns plant: a bug whose place is gone would prove nothing."""

from collections.abc import Callable, Iterator

import pytest

from chaos import seeded
from scheduling_srv.adapters.redis import scripts


@pytest.fixture(autouse=True)
def _scripts_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(scripts, "source", scripts.source)
    yield
    scripts.digest.cache_clear()


@pytest.mark.parametrize(
    ("bug", "script"),
    [(seeded.lease_without_epoch, "stage"), (seeded.updates_begin_anew, "write")],
)
def test_a_bug_changes_its_script(bug: Callable[[], None], script: str) -> None:
    before = scripts.source(script)
    bug()
    assert scripts.source(script) != before


def test_a_bug_spares_the_script_that_must_work() -> None:
    before = scripts.source("renew")
    seeded.lease_without_epoch()
    assert scripts.source("renew") == before
