"""Each workload is measured at a small size, and checked; how fast it was does not matter here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.workloads import BARE, PRODUCT
from tests.docs.snippets import ROOT

SHORT = "submit,single,records,fire,recurring,mixed,cycle,rebuild,restore"


@pytest.mark.timeout(600)
def test_what_is_measured_is_checked_and_shown(tmp_path: Path) -> None:
    kept = tmp_path / "results.json"
    command = [sys.executable, "-m", "bench", "--only", SHORT, "--rounds", "1", "--size", "0.01"]
    command += ["--contenders", f"{PRODUCT},{BARE}", "--json", str(kept)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "checked: nothing lost, doubled or early" in ended.stdout
    workloads = json.loads(kept.read_text())["workloads"]
    assert set(workloads) == set(SHORT.split(","))
    for workload in workloads.values():
        for contender in workload["contenders"].values():
            assert all(value >= 0 for value in contender["figures"].values())
    assert workloads["fire"]["contenders"]["bare"]["figures"]["rate"] > 0
