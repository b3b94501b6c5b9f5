"""The bugs that campaigns plant: a bug whose place is gone would prove nothing."""

from collections.abc import Callable, Iterator

import pytest

from chaos import seeded, seeded_v1
from scheduling_srv.adapters.redis import scripts
from scheduling_srv.adapters.redis.run_control import RedisRunControl
from scheduling_srv.app.owner.backfiller import Backfiller


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


@pytest.mark.parametrize("bug", seeded_v1.BUGS_V1)
def test_a_bug_of_the_rules_has_its_place(
    bug: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name in ((RedisRunControl, "cancel"), (Backfiller, "_fill")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    bug()


def test_several_bugs_are_planted_together() -> None:
    seeded.plant("pauses_ignored,overlap_ignored")
    assert "if false and kind ~=" in scripts.source("stage")
    assert "and false then" in scripts.source("stage")


def test_a_bug_spares_the_script_that_must_work() -> None:
    before = scripts.source("renew")
    seeded.lease_without_epoch()
    assert scripts.source("renew") == before
