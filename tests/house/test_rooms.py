"""The rooms of the code, and the arrows between them (docs/decisions/0020)."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.code import LUA, PACKAGES, STRUCTURE, modules
from tools.structure import ROOT, cycles, imported_names


def test_no_module_lies_at_the_root_of_a_package() -> None:
    assert [name for name in STRUCTURE.hallway if name.startswith("scheduling_srv.")] == []


@pytest.mark.slow  # `make imports` runs it before the quick tests
def test_the_import_contracts_hold() -> None:
    command = [Path(sys.executable).parent / "lint-imports"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    assert ended.returncode == 0, ended.stdout


def test_no_modules_import_each_other() -> None:
    assert cycles(STRUCTURE.imports) == []


def test_no_packages_import_each_other() -> None:
    assert cycles(STRUCTURE.tops) == []


def test_only_the_formats_of_the_server_know_the_wire_code() -> None:
    knows = {
        STRUCTURE.room(name)
        for name, path in STRUCTURE.modules.items()
        if ".wire" not in name and any(".wire" in each for each in imported_names(path))
    }
    assert {room for room in knows if room.startswith("scheduling_srv")} == {
        "scheduling_srv.formats",
        "scheduling_srv.formats.v1",
    }


@pytest.mark.skipif(not (ROOT / "server").is_dir(), reason="there is one distribution so far")
def test_there_are_two_distributions() -> None:
    assert [path.name for path in PACKAGES] == ["scheduling_client", "scheduling_srv"]
    upwards = [
        target
        for name, targets in STRUCTURE.imports.items()
        for target in targets
        if name.startswith("scheduling_client") and target.startswith("scheduling_srv")
    ]
    assert upwards == []


def test_one_path_serves_one_and_several_shards() -> None:
    """No second composition, no method that only raises, no store of any type."""
    names = {name.rpartition(".")[2] for name in STRUCTURE.modules}
    assert names.isdisjoint({"front", "sharded_jobs", "sharded_intake"})
    for path in modules("app"):
        code = path.read_text()
        assert "NotImplementedError" not in code, path
        assert "store: Any" not in code, path


def test_no_script_takes_an_argument_by_its_number() -> None:
    scripts = sorted(LUA.rglob("*.lua"))
    assert scripts
    assert [path.name for path in scripts if "ARGV" in path.read_text()] == []


def test_questions_about_topics_are_bounded_in_one_place() -> None:
    """A long `list_topics` may wait to its end: see `metadata` in `adapters/kafka/connecting.py`.

    `clients.ask` waits for a second at most, and hears the reason in between.
    """
    asking = {path.name for path in modules("") if ".list_topics(" in path.read_text()}
    assert asking == {"connecting.py", "clients.py"}
