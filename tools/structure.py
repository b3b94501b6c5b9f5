"""`python -m tools.structure [CHECKOUT]`: print how the packages of a checkout import each other.

A *room* is a package, or a module at the root of a distribution's package. An *arrow* is an import
between two rooms. Floors follow from the arrows: a room stands above all rooms that it imports.
Generated protobuf code is left out.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ("src", "*/src")
"""Where packages lie in a checkout: the second pattern is for several distributions."""
GENERATED = "_pb2"

Graph = Mapping[str, frozenset[str]]


def packages(checkout: Path) -> list[Path]:
    """The root package of each distribution."""
    found = (path.parent for source in SOURCES for path in checkout.glob(f"{source}/*/__init__.py"))
    return sorted(found)


@dataclass(frozen=True)
class Structure:
    """The modules of a checkout and their imports."""

    modules: Mapping[str, Path]
    roots: frozenset[str]
    """Names of the root packages."""

    @classmethod
    def of(cls, checkout: Path) -> Structure:
        """Read a checkout."""
        found = packages(checkout)
        modules = {
            _name(path, package.parent): path
            for package in found
            for path in sorted(package.rglob("*.py"))
            if GENERATED not in path.name
        }
        return cls(modules, frozenset(package.name for package in found))

    @cached_property
    def imports(self) -> Graph:
        """Module -> the modules that it imports."""
        return {
            name: frozenset(self._imported(name, path)) - {name}
            for name, path in self.modules.items()
        }

    def _imported(self, name: str, path: Path) -> Iterator[str]:
        for target in imported_names(path):
            known = target if target in self.modules else target.rpartition(".")[0]
            # A package's own __init__ runs before its modules; that is no choice of theirs.
            if known in self.modules and not name.startswith(known + "."):
                yield known

    @cached_property
    def hallway(self) -> list[str]:
        """Modules at the root of a package, but for `__init__` and `__main__`."""
        return [
            name
            for name, path in self.modules.items()
            if path.parent.name in self.roots and path.stem not in ("__init__", "__main__")
        ]

    def room(self, module: str) -> str:
        """The room of a module."""
        path = self.modules[module]
        if path.stem in ("__init__", "__main__") and path.parent.name in self.roots:
            return f"{path.parent.name}.{path.stem}"
        if path.stem == "__init__" or module in self.hallway:
            return module
        return module.rpartition(".")[0]

    @cached_property
    def rooms(self) -> Graph:
        """Room -> the rooms that it imports. Packages that hold only packages are none."""
        found: dict[str, set[str]] = {}
        for module, targets in self.imports.items():
            if _has_code(self.modules[module]):
                mine = found.setdefault(self.room(module), set())
                mine.update(self.room(each) for each in targets)
        return {room: frozenset(targets & found.keys()) - {room} for room, targets in found.items()}

    @cached_property
    def tops(self) -> Graph:
        """The same, with each package of a root package as one room."""
        found: dict[str, set[str]] = {}
        for room, targets in self.rooms.items():
            mine = found.setdefault(_top(room), set())
            mine.update(map(_top, targets))
        return {top: frozenset(targets) - {top} for top, targets in found.items()}

    @cached_property
    def lines(self) -> int:
        """Lines of all modules."""
        return sum(len(path.read_text().splitlines()) for path in self.modules.values())


def _name(path: Path, source: Path) -> str:
    return ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")


def _top(room: str) -> str:
    return ".".join(room.split(".")[:2])


def _has_code(path: Path) -> bool:
    """Whether a module is more than a docstring."""
    return path.name != "__init__.py" or len(ast.parse(path.read_text()).body) > 1


def imported_names(path: Path) -> Iterator[str]:
    """Everything that a module imports, also within functions, but not for type checkers alone."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        pending += ast.iter_child_nodes(node)


# --- Graphs -------------------------------------------------------------------------------------


def cycles(graph: Graph) -> list[list[str]]:
    """The groups of nodes that reach each other."""
    reached = {node: _reach(graph, node) for node in graph}
    groups = {
        frozenset(other for other in reached[node] if node in reached[other]) for node in graph
    }
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _reach(graph: Graph, start: str) -> set[str]:
    """The nodes that a path of at least one arrow leads to."""
    found, pending = set[str](), [start]
    while pending:
        for target in graph[pending.pop()] - found:
            found.add(target)
            pending.append(target)
    return found


def chains(graph: Graph) -> dict[str, list[str]]:
    """Node -> the longest chain of imports that begins there. A cycle is not walked twice."""
    found: dict[str, list[str]] = {}
    for node in graph:
        _chain(graph, node, found, set())
    return found


def _chain(graph: Graph, node: str, found: dict[str, list[str]], open_: set[str]) -> list[str]:
    if node not in found:
        following = (
            _chain(graph, each, found, open_ | {node})
            for each in sorted(graph[node])
            if each not in open_
        )
        found[node] = [node, *max(following, key=len, default=[])]
    return found[node]


# --- The page -----------------------------------------------------------------------------------


def report(found: Structure) -> Iterator[str]:
    """Lines of Markdown."""
    rooms, tops = found.rooms, found.tops
    chain, longest = chains(rooms), max(chains(found.imports).values(), key=len)
    module_cycles, room_cycles = cycles(found.imports), cycles(rooms)
    yield from _table(
        ("figure", "value"),
        [
            ("modules", len(found.modules)),
            ("lines", f"{found.lines:,}"),
            ("modules at the root of a package", len(found.hallway)),
            ("rooms", len(rooms)),
            ("floors of rooms", _floors(rooms)),
            ("arrows between rooms", _arrows(rooms)),
            ("top rooms: a package with all its packages", len(tops)),
            ("floors of top rooms", _floors(tops)),
            ("arrows between top rooms", _arrows(tops)),
            ("cycles of modules", len(module_cycles)),
            ("cycles of rooms", len(room_cycles)),
            ("cycles of top rooms", len(cycles(tops))),
            ("longest chain of imports, modules", len(longest)),
        ],
    )
    yield ""
    high_first = sorted(rooms, key=lambda room: (-len(chain[room]), room))
    rows = [(f"`{room}`", len(chain[room]), len(rooms[room])) for room in high_first]
    yield from _table(("room", "floor", "arrows"), rows)
    yield ""
    yield "Longest chain: " + ", ".join(f"`{name}`" for name in longest) + "."
    for group in module_cycles + room_cycles:
        yield "\nCycle: " + ", ".join(f"`{name}`" for name in group) + "."


def _floors(graph: Graph) -> int:
    return max(map(len, chains(graph).values()))


def _arrows(graph: Graph) -> int:
    return sum(map(len, graph.values()))


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(map(str, row)) + " |"


def main() -> None:
    """The command."""
    checkout = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    sys.stdout.write("\n".join(report(Structure.of(checkout))) + "\n")


if __name__ == "__main__":
    main()
