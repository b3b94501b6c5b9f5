"""Tests wait for what follows: a busy machine is no reason to fail (CONTRIBUTING.md, Tests)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.code import parsed
from tools.structure import ROOT

ON_REAL_SERVERS = ("e2e", "web", "demo", "examples", "deploy", "store")
SERVES = re.compile(r"(?!not ).*(health\(.*\) == 'SERVING'|\.is_serving\(\)|\.serving)")
"""Claims that a replica serves at this moment."""


def files_with_real_servers() -> Iterator[Path]:
    for room in ON_REAL_SERVERS:
        yield from (ROOT / "tests" / room).rglob("*.py")


def has_a_bound_of_its_own(node: ast.AST) -> bool:
    """`eventually` with fewer seconds than the machine may need."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func) != "eventually":
        return False
    return any(
        each.arg == "timeout" and isinstance(each.value, ast.Constant) for each in node.keywords
    )


def test_health_is_waited_for() -> None:
    """A replica is not SERVING for a moment when a server answers too late."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files_with_real_servers()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Assert) and SERVES.fullmatch(ast.unparse(node.test))
    ]
    assert found == []


def test_waits_have_no_bounds_of_their_own() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files_with_real_servers()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and has_a_bound_of_its_own(node)
    ]
    assert found == []
