"""Puts the text of a Lua script together: its file, the libraries that it needs, and a prelude.

A file in `lua/` or `lua/lib/` begins with directives:

    --!include staging taking
    --!args token now:int limit:int published:int? ids...
    --!row answer instance failed partition:int next problem

`include` names libraries. A library names its own, and each is put in once, before its users.

`args` gives the arguments of a script their names: `:int` makes a number, `?` may be left out. A
name with `...` is the rest: `ids_at` is the place of its first one in the table `args`. A second
line with `args` goes on.

`row` says which values stand together in `args`: `answer_row(at)` returns those of the row that
begins there, and `ANSWER_ROW` is how many there are. Where `at` is a name, the values are put in
place of the call, as loops over rows are what most scripts spend their time with.

A library is put into a block, so that names that only it uses take no room: see `_in_scopes`.

The prelude holds the keys that the text names. The constants of `formats.layouts` are put in place
of their names: Lua has room for 200 local variables, and a constant costs nothing when it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import NamedTuple, TypeVar

from scheduling_srv.adapters.redis import keys
from scheduling_srv.formats.layouts import LUA

FOLDER = resources.files(__package__) / "lua"
REST = "..."
"""Ends the name of all further arguments."""
DIRECTIVE = re.compile(r"--!(\w+) ?(.*)")
COMMENT = re.compile(r"^[ \t]*--.*\n", re.MULTILINE)
TRAILING = re.compile(r"--.*")
WORD = re.compile(r"[A-Za-z_]\w*")
KEY = re.compile(r"\bK\.(\w+)")
DEFINED = re.compile(r"^local (?:function )?(\w+(?:, \w+)*)", re.MULTILINE)
DECLARED = re.compile(
    r"^local (?P<function>function )?(?P<names>\w+(?:, \w+)*)(?P<value> =)?[^\n]*", re.MULTILINE
)
CONSTANT = re.compile(r"""'[^'\n]*'|"[^"\n]*"|\b[A-Z][A-Z_]+\b""")
OURS = re.compile(r"\bARGV\b")
ROW_CALL = re.compile(r"\b(\w+)_row\((\w+)\)")

V = TypeVar("V")


class ScriptError(ValueError):
    """A script, or a call of one, names something that is not there or not used."""


class Argument(NamedTuple):
    """One value that a script is given."""

    name: str
    is_number: bool = False
    is_optional: bool = False

    @classmethod
    def parse(cls, text: str) -> Argument:
        """From `name`, `name:int` or either with `?`."""
        name, _, kind = text.removesuffix("?").partition(":")
        if not name.isidentifier() or kind not in {"", "int"}:
            raise ScriptError(f"{text!r} is no argument: write name, name:int, or either with ?")
        return cls(name, bool(kind), text.endswith("?"))

    def read(self, place: str) -> str:
        """The Lua expression for its value."""
        return f"tonumber({place})" if self.is_number else place


@dataclass(frozen=True, slots=True)
class LuaFile:
    """A script or a library."""

    name: str
    code: str
    includes: list[str] = field(default_factory=list)
    args: list[Argument] = field(default_factory=list)
    rest: str = ""
    """The name of all further arguments; empty: there are none."""
    rows: dict[str, list[Argument]] = field(default_factory=dict)

    @property
    def words(self) -> set[str]:
        """Every name in the code."""
        return set(WORD.findall(TRAILING.sub("", self.code)))

    @property
    def defined(self) -> list[str]:
        """Names that it defines for those who include it."""
        names = [name for group in DEFINED.findall(self.code) for name in group.split(", ")]
        return names + [name for row in self.rows for name in _row_names(row)]

    @property
    def names(self) -> list[str]:
        """Names of its arguments in Lua."""
        return [arg.name for arg in self.args] + ([f"{self.rest}_at"] if self.rest else [])


@cache
def script(name: str) -> LuaFile:
    """The file of a script. Raises `ScriptError`."""
    return _parse(name, (FOLDER / f"{name}.lua").read_text())


@cache
def assemble(name: str, shards: int = 1) -> str:
    """The Lua text of a script, for a namespace of so many shards. Raises `ScriptError`."""
    main = script(name)
    included = list(libraries(main))
    _check(main, included)
    files = [*included, main]
    words = set[str]().union(*(each.words for each in files))
    used_keys = {key for each in files for key in KEY.findall(each.code)}
    rows = {row: fields for each in files for row, fields in each.rows.items()}
    code = "".join([*_in_scopes(included, main), _arguments(main), main.code])
    for row in {call[1] for call in ROW_CALL.finditer(code)} - rows.keys():
        raise ScriptError(f"{name}.lua calls {row}_row, and no --!row declares it.")
    code = ROW_CALL.sub(lambda call: _values(rows[call[1]], call[2]), code)
    readers = [_row(row, fields, code) for row, fields in rows.items()]
    parts = [keys.lua_table(used_keys, words, shards)]
    if "args" in words or rows:
        parts.append("local args = ARGV\n")
    return "".join([*parts, *readers, CONSTANT.sub(_inlined, code)])


def _in_scopes(included: list[LuaFile], main: LuaFile) -> Iterator[str]:
    """The code of each library, in a block of its own: only names that others use are seen outside.

    A library that only one other one uses is put into the block of that one. Lua has room for 200
    local variables at a time.
    """
    inner = dict[str, str]()
    for number, file in enumerate(included):
        later = [*included[number + 1 :], main]
        code = _in_scope(file, set[str]().union(*(each.words for each in later)), inner)
        users = [each for each in later if not each.words.isdisjoint(file.defined)]
        if len(users) > 1 or main in users:
            yield code
        else:
            (user,) = users
            inner[user.name] = inner.get(user.name, "") + code


def _in_scope(file: LuaFile, used: set[str], inner: Mapping[str, str]) -> str:
    """`used`: the words of all that comes after it. `inner`: code that only one library needs."""
    shown = list[str]()

    def show(found: re.Match[str]) -> str:
        names = found["names"].split(", ")
        if used.isdisjoint(names):
            return found[0]
        shown.extend(names)
        if found["function"]:
            return found[0].removeprefix("local ")
        return found[0].removeprefix("local ") if found["value"] else ""

    code = inner.get(file.name, "") + DECLARED.sub(show, file.code)
    if code.count("\nlocal ") == 0 and not code.startswith("local "):
        return file.code  # nothing to be hidden
    head = f"local {', '.join(shown)}\n" if shown else ""
    return f"{head}do\n{code}end\n"


def _inlined(found: re.Match[str]) -> str:
    """The constant in place of its name. Texts stay as they are."""
    return LUA.get(found[0], found[0])


def _parse(name: str, text: str) -> LuaFile:
    found = LuaFile(name, COMMENT.sub("", text))
    for line in text.splitlines():
        directive = DIRECTIVE.match(line)
        if directive is None:
            break
        kind, words = directive[1], directive[2].split()
        if kind == "include":
            found.includes.extend(words)
        elif kind == "args":
            found = _with_arguments(found, words)
        elif kind == "row":
            found.rows[words[0]] = [Argument.parse(word) for word in words[1:]]
        else:
            raise ScriptError(f"{name}.lua: there is no directive {kind!r}.")
    if OURS.search(found.code):
        raise ScriptError(f"{name}.lua: use the names of --!args instead of ARGV.")
    return found


def _with_arguments(file: LuaFile, words: list[str]) -> LuaFile:
    rest = words.pop().removesuffix(REST) if words and words[-1].endswith(REST) else ""
    args = [*file.args, *(Argument.parse(word) for word in words)]
    return LuaFile(file.name, file.code, file.includes, args, rest, file.rows)


@cache
def _library(name: str) -> LuaFile:
    path = FOLDER / "lib" / f"{name}.lua"
    if not path.is_file():
        raise ScriptError(f"There is no library {name!r}.")
    return _parse(name, path.read_text())


def libraries(file: LuaFile, seen: dict[str, bool] | None = None) -> Iterator[LuaFile]:
    """All that it needs, each once and before those that need it."""
    seen = {} if seen is None else seen  # name -> whether it is complete
    for name in file.includes:
        if seen.get(name) is False:
            raise ScriptError(f"The library {name!r} includes itself.")
        if name not in seen:
            seen[name] = False
            library = _library(name)
            yield from libraries(library, seen)
            seen[name] = True
            yield library


def _check(main: LuaFile, included: list[LuaFile]) -> None:
    for file in (*included, main):
        for name in file.includes:
            if file.words.isdisjoint(_library(name).defined):
                raise ScriptError(f"{file.name}.lua includes {name!r} and does not use it.")
    if unused := [name for name in main.names if name not in main.words]:
        raise ScriptError(f"{main.name}.lua does not use its arguments {unused}.")
    owners = dict[str, str]()
    for name, owner in _definitions(main, included):
        if owners.setdefault(name, owner) != owner:
            raise ScriptError(f"{main.name}.lua: {owners[name]} and {owner} define {name!r}.")


def _definitions(main: LuaFile, included: list[LuaFile]) -> Iterator[tuple[str, str]]:
    """Name, and who defines it. A script may hide none of them from itself."""
    yield from ((name, "layouts") for name in LUA)
    for each in included:
        yield from ((name, f"lib/{each.name}.lua") for name in each.defined)
    yield from ((name, f"{main.name}.lua") for name in (*main.names, *main.defined))


def _row_names(row: str) -> tuple[str, str]:
    return f"{row}_row", f"{row.upper()}_ROW"


def _row(row: str, fields: list[Argument], code: str) -> str:
    reader, size = _row_names(row)
    words = set(WORD.findall(code))
    lines = [f"local {size} = {len(fields)}\n"] if size in words else []
    if reader in words:
        lines.append(f"local function {reader}(at) return {_values(fields, 'at')} end\n")
    return "".join(lines)


def _values(fields: list[Argument], at: str) -> str:
    places = [f"args[{at}]", *(f"args[{at} + {n}]" for n in range(1, len(fields)))]
    return ", ".join(f.read(place) for f, place in zip(fields, places, strict=True))


def _arguments(file: LuaFile) -> str:
    places = [(arg, f"ARGV[{n}]") for n, arg in enumerate(file.args, start=1)]
    values = [arg.read(place) for arg, place in places]
    if file.rest:
        values.append(str(len(file.args) + 1))
    return f"local {', '.join(file.names)} = {', '.join(values)}\n" if values else ""


def in_order(name: str, given: Mapping[str, V]) -> list[V]:
    """The values of a script's named arguments, in its order. Raises `ScriptError`."""
    args = script(name).args
    values = [given[arg.name] for arg in args if arg.name in given]
    if len(values) == len(given) == len(args):
        return values
    needed = {arg.name for arg in args if not arg.is_optional}
    optional = [arg.name for arg in args if arg.is_optional]
    if needed <= given.keys() <= {*needed, *optional[: len(given) - len(needed)]}:
        return values
    raise ScriptError(f"{name}.lua takes {[arg.name for arg in args]}, not {list(given)}.")
