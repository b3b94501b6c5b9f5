"""Twenty thousand requests and records that are almost right: `make fuzz` sends a million."""

from pathlib import Path

import pytest

from chaos.fuzz import Fuzz, Options, report


@pytest.mark.slow
def test_no_input_breaks_anything(tmp_path: Path) -> None:
    outcome = Fuzz(Options(tmp_path / "fuzz", count=20_000, seed=20180101)).run()
    print(report(outcome))  # noqa: T201 - what the campaign was worth
    assert outcome.inputs >= 20_000
