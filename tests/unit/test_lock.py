"""requirements.lock is complete, hashed, and says nothing about where packages come from."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = re.findall(r"^([a-z0-9-]+)==([^ ]+)", LOCK, re.MULTILINE)
LOCKED = dict(PINS)


def declared() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]
    requirements = [Requirement(text) for text in texts]
    return [each for each in requirements if each.name != PROJECT["name"]]


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_what_is_declared_is_locked(requirement: Requirement) -> None:
    assert requirement.name in LOCKED, 'run "make lock"'
    assert LOCKED[requirement.name] in requirement.specifier, 'run "make lock"'


def test_every_package_has_hashes() -> None:
    entries = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) == len({*PINS})  # a name may have a version for each Python
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_no_host_is_named() -> None:
    assert "://" not in LOCK
    assert "--index" not in LOCK
