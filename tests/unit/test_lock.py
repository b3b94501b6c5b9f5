"""requirements.lock is complete, hashed, and says nothing about where packages come from."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()


def read(pyproject: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / pyproject).read_text())


CLIENT, SERVER = (read(f"{name}/pyproject.toml")["project"] for name in ("client", "server"))
GROUPS = read("pyproject.toml")["dependency-groups"]
PINS = re.findall(r"^([a-z0-9-]+)==([^ ]+)", LOCK, re.MULTILINE)
LOCKED = dict(PINS)


def declared() -> list[Requirement]:
    extras = CLIENT["optional-dependencies"] | SERVER["optional-dependencies"]
    lists = [CLIENT["dependencies"], SERVER["dependencies"], *extras.values(), *GROUPS.values()]
    found = [Requirement(text) for text in sorted({text for texts in lists for text in texts})]
    return [each for each in found if each.name != CLIENT["name"]]  # it lies in the checkout


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_what_is_declared_is_locked(requirement: Requirement) -> None:
    assert requirement.name in LOCKED, 'run "make lock"'
    assert LOCKED[requirement.name] in requirement.specifier, 'run "make lock"'


def test_what_only_a_checkout_needs_is_not_published() -> None:
    assert set(CLIENT["optional-dependencies"]) == {"cli", "worker"}
    assert set(SERVER["optional-dependencies"]) == {"embedded", "jwt", "otel"}
    assert set(GROUPS) == {"bench", "dev"}


def test_every_package_has_hashes() -> None:
    entries = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) == len({*PINS})  # a name may have a version for each Python
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_our_own_distributions_come_from_the_checkout() -> None:
    assert LOCKED.keys().isdisjoint({CLIENT["name"], SERVER["name"]})


def test_no_host_is_named() -> None:
    assert "://" not in LOCK
    assert "--index" not in LOCK
