"""Small pieces: what cannot be read in one look is cut."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "scheduling_srv"
MODULE_LINES = 400
FUNCTION_LINES = 60
LUA_LINES = 60


def written_modules() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if "_pb2" not in path.name]


def named(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def long_functions(source: str, limit: int) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            # The docstring is what makes a function readable, so it is not counted.
            prose = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
            lines = (node.end_lineno or 0) - (prose or 0)
            if lines > limit:
                yield f"{node.name} (line {node.lineno}, {lines} lines)"


def test_the_walk_finds_the_package() -> None:
    assert SOURCE / "__init__.py" in written_modules()


@pytest.mark.parametrize("path", written_modules(), ids=named)
def test_no_module_is_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MODULE_LINES


@pytest.mark.parametrize("path", written_modules(), ids=named)
def test_no_function_is_long(path: Path) -> None:
    assert list(long_functions(path.read_text(), FUNCTION_LINES)) == []


def test_no_lua_script_is_long() -> None:
    lengths = {named(path): len(path.read_text().splitlines()) for path in SOURCE.rglob("*.lua")}
    assert {name: lines for name, lines in lengths.items() if lines > LUA_LINES} == {}


def test_a_long_function_would_be_found() -> None:
    body = "\n".join(["    x = 1"] * 5)
    assert list(long_functions(f"async def f():\n{body}\n", 4)) == ["f (line 1, 5 lines)"]
    assert list(long_functions(f"async def f():\n    'doc'\n{body}\n", 5)) == []
