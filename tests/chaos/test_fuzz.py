"""Twenty thousand requests and records that are almost right: `make fuzz` sends a million."""

from pathlib import Path

import pytest

from chaos.fuzz import NEEDED, Fault, Fuzz, Options, report


@pytest.mark.slow
def test_no_input_breaks_anything(tmp_path: Path) -> None:
    outcome = Fuzz(Options(tmp_path / "fuzz", count=20_000, seed=20180101)).run()
    print(report(outcome))  # noqa: T201 - what the campaign was worth
    assert outcome.inputs >= 20_000


@pytest.mark.slow
def test_a_planted_bug_is_found_and_shrunk_to_one_input(tmp_path: Path) -> None:
    options = Options(tmp_path / "fuzz", count=20_000, seed=5, bug="garbage_unknown")
    with pytest.raises(Fault, match="UNKNOWN|DecodeError") as found:
        Fuzz(options).run()
    [needed] = [note for note in found.value.__notes__ if note.startswith(NEEDED)]
    assert needed.count("Input(") == 1
