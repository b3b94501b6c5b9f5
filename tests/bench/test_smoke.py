"""Each workload is measured at a small size, and checked; how fast it was does not matter here."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.contenders.rivals import RIVALS
from bench.workloads import BARE, PRODUCT
from tests.docs.snippets import ROOT

pytestmark = pytest.mark.slow

SHORT = (
    "submit,single,records,fire,recurring,mixed,cycle,rebuild,restore,standby,restart,handover,"
    "viewed,painted"
)

DIFFERENCES = ("cost", "share")
"""Figures with such names are differences of two measurements, and may be below zero."""


def measured(kept: Path, only: str, contenders: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench", "--only", only, "--contenders", contenders]
    command += ["--rounds", "1", "--size", "0.01", "--json", str(kept)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "checked: nothing lost, doubled or early" in ended.stdout
    workloads: dict[str, Any] = json.loads(kept.read_text())["workloads"]
    return workloads


def test_what_is_measured_is_checked_and_shown(tmp_path: Path) -> None:
    workloads = measured(tmp_path / "results.json", SHORT, f"{PRODUCT},{BARE}")
    assert set(workloads) == set(SHORT.split(","))
    for workload in workloads.values():
        for contender in workload["contenders"].values():
            figures = contender["figures"]
            assert all(
                value >= 0 for name, value in figures.items() if not name.endswith(DIFFERENCES)
            )
    assert workloads["fire"]["contenders"]["bare"]["figures"]["rate"] > 0


@pytest.mark.parametrize("name", [each.name for each in RIVALS])
def test_a_contender_is_measured_or_the_reason_is_shown(name: str, tmp_path: Path) -> None:
    workload = measured(tmp_path / "results.json", "steady-200", name)["steady-200"]
    contender = workload["contenders"][name]
    if "missing" in contender:
        assert re.search(r"^not installed by|^PostgreSQL", contender["missing"])
    else:
        assert contender["figures"]["seen-p50"] > 0


def test_a_kill_loses_nothing(tmp_path: Path) -> None:
    kills = "kill,kill-at-least-once"
    for workload in measured(tmp_path / "results.json", kills, PRODUCT).values():
        assert workload["contenders"][PRODUCT]["figures"]["lost"] == 0
