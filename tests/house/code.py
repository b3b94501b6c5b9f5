"""Where the code under test lies. It is read here, never imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from tools.structure import ROOT, Structure, packages

STRUCTURE = Structure.of(ROOT)
PACKAGES = packages(ROOT)
SERVER = next(path for path in PACKAGES if path.name == "scheduling_srv")
LUA = SERVER / "adapters" / "redis" / "lua"


@lru_cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text())


def modules(*rooms: str) -> list[Path]:
    """The modules of these packages of the server, and of the packages in them."""
    return [path for room in rooms for path in sorted((SERVER / room).rglob("*.py"))]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods of a file."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
