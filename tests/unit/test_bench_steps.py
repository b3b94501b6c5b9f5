"""The steps of runs: which one made them late, and what ran beside them."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.steps import COLLECTOR, collections, report

DUE = 1_000.0
PAUSES = """\
[1970-01-01T00:16:30.000+0000] Using Serial
[1970-01-01T00:16:40.030+0000] GC(3) Pause Young (Allocation Failure) 217M->157M(247M) 20.500ms
[1970-01-01T00:16:41.000+0000] GC(4) Pause Full (Metadata GC Threshold) 61M->7M(247M) 29.206ms
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {name: tmp_path / name for name in ("arrivals", "stamps", "pauses")}
    found["pauses"].write_text(PAUSES)
    return found


def arrive(files: dict[str, Path], *late: float) -> None:
    """Runs that are due each millisecond."""
    rows = [
        (f"job-{number}", number, DUE + number / 1000, DUE + number / 1000 + each)
        for number, each in enumerate(late)
    ]
    files["arrivals"].write_text(json.dumps(rows))


def note(files: dict[str, Path], **noted: Any) -> None:
    empty: dict[str, Any] = {
        "taken": {},
        "handed": {},
        "committed": {},
        "confirmed": {},
        "spans": [],
    }
    files["stamps"].write_text(json.dumps(empty | noted))


def test_pauses_end_at_the_time_of_their_line(files: dict[str, Path]) -> None:
    first, second = collections(files["pauses"])
    assert first.name == COLLECTOR
    assert (first.began, first.ended) == pytest.approx((1_000.0095, 1_000.030))
    assert second.seconds == pytest.approx(0.029206)


def test_each_step_counts_from_the_one_before(files: dict[str, Path]) -> None:
    arrive(files, 0.010)
    note(
        files,
        taken={"job-0": DUE - 0.004},
        handed={"job-0": DUE + 0.001},
        confirmed={"0": DUE + 0.009},
    )
    assert "staged 0.0  handed 1.0  kafka 8.0  read 1.0" in report(**files)


def test_a_commit_that_returns_after_its_run_was_read_took_no_longer(
    files: dict[str, Path],
) -> None:
    arrive(files, 0.010)
    note(
        files,
        taken={"job-0": DUE + 0.002},
        handed={"job-0": DUE + 0.003},
        committed={"job-0": DUE + 0.012},
    )
    assert "staged 2.0  handed 1.0  kafka 7.0  read 0.0" in report(**files)


def test_what_ran_beside_the_slowest_runs_is_shown(files: dict[str, Path]) -> None:
    arrive(files, *[0.001] * 10, 0.020, *[0.001] * 9)
    told = report(**files)
    assert "at 0.010 s: 1 runs, the latest 20.0: late 20.0" in told
    assert f"    {COLLECTOR}: 20.5, from -0.5 to +20.0" in told


def test_spans_of_other_times_do_not_count(files: dict[str, Path]) -> None:
    arrive(files, 0.001)
    spans = [("redis stage", DUE - 9, DUE - 8), ("redis take", DUE + 0.0005, DUE + 0.002)]
    stamps = {name: {"job-0": DUE} for name in ("taken", "handed", "committed")}
    note(files, spans=spans, **stamps)
    told = report(**files)
    assert "redis take" in told
    assert "redis stage" not in told


def test_time_stamps_are_used_once(files: dict[str, Path]) -> None:
    arrive(files)
    note(files)
    assert report(**files) == ""
    assert not files["stamps"].exists()
