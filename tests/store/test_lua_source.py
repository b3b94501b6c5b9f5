"""Putting scripts together: an unknown or an unused name is an error before a script is sent."""

from pathlib import Path
from textwrap import dedent

import pytest

from scheduling_srv.adapters.redis import lua_source
from scheduling_srv.adapters.redis.lua_source import ScriptError, assemble, in_order


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of scripts."""
    monkeypatch.setattr(lua_source, "FOLDER", tmp_path)
    (tmp_path / "lib").mkdir()
    forget()
    monkeypatch.setattr(lua_source, "LUA", {"QUEUED": '"<I4"'})
    return tmp_path


@pytest.fixture(autouse=True)
def _forgotten() -> object:
    yield
    forget()


def forget() -> None:
    for cached in (lua_source.script, lua_source.assemble, lua_source._library):
        cached.cache_clear()


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = (
            folder / "lib" / f"{name[4:]}.lua"
            if name.startswith("lib_")
            else folder / f"{name}.lua"
        )
        path.write_text(text + "\n")


def test_arguments_get_names_and_numbers(folder: Path) -> None:
    write(folder, s="--!args token now:int ids...\nreturn {token, now, args[ids_at]}")
    assert assemble("s").splitlines() == [
        "local args = ARGV",
        "local token, now, ids_at = ARGV[1], tonumber(ARGV[2]), 3",
        "return {token, now, args[ids_at]}",
    ]


def test_rows_are_read_by_name(folder: Path) -> None:
    asked = "return run_row(runs_at + 0), RUN_ROW"
    write(folder, s=f"--!args runs...\n--!row run id due:int\n{asked}")
    text = assemble("s")
    assert "local RUN_ROW = 2\n" in text
    assert "local function run_row(at) return args[at], tonumber(args[at + 1]) end\n" in text


def test_a_row_that_is_not_declared_is_an_error(folder: Path) -> None:
    write(folder, s="--!args runs...\nreturn run_row(runs_at)")
    with pytest.raises(ScriptError, match=r"s\.lua calls run_row, and no --!row declares it"):
        assemble("s")


def test_a_row_at_a_name_costs_no_call(folder: Path) -> None:
    write(folder, s="--!args runs...\n--!row run id due:int\nreturn run_row(runs_at)")
    text = assemble("s")
    assert "return args[runs_at], tonumber(args[runs_at + 1])" in text
    assert "function run_row" not in text


def test_only_keys_that_are_used_are_computed(folder: Path) -> None:
    write(folder, s="return redis.call('GET', K.lease)")
    assert assemble("s").startswith("local K = {lease = KEYS[2]}\n")


def test_constants_stand_in_place_of_their_names_but_not_in_texts(folder: Path) -> None:
    write(folder, s="return struct.pack(QUEUED, 'QUEUED')")
    assert assemble("s") == "return struct.pack(\"<I4\", 'QUEUED')\n"


def test_libraries_include_others_each_once_and_before_its_users(folder: Path) -> None:
    write(
        folder,
        lib_a="local A = 1",
        lib_b="--!include a\nlocal B = A",
        lib_c="--!include a b\nlocal C = A + B",
        s="--!include c a\nreturn C + A",
    )
    text = "local A = 1\nlocal C\ndo\nlocal B = A\nC = A + B\nend\nreturn C + A\n"
    assert assemble("s") == text, "only c uses b"


def test_names_that_only_a_library_uses_stay_in_a_block(folder: Path) -> None:
    """Lua has room for 200 local variables outside of blocks."""
    library = """
        local ONE, TWO = 1, 2
        local found -- nil: not asked yet
        local own = 3

        local function helper() return own end

        local function ask() return helper() + ONE end
    """
    write(folder, lib_a=dedent(library), s="--!include a\nreturn found or ask()")
    text = assemble("s")
    assert text.startswith("local found, ask\ndo\n")
    assert "\nlocal ONE, TWO = 1, 2\n\nlocal own = 3\n" in text
    assert "\nlocal function helper() return own end\n" in text
    assert "\nfunction ask() return helper() + ONE end\n" in text
    assert text.endswith("\nend\nreturn found or ask()\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("--!include nothing\nreturn 1", "no library 'nothing'"),
        ("--!include a\nreturn 1", "does not use it"),
        ("--!include again\nreturn again", "includes itself"),
        ("--!args token\nreturn 1", r"does not use its arguments \['token'\]"),
        ("--!args ids...\nreturn 1", r"does not use its arguments \['ids_at'\]"),
        ("--!args token:float\nreturn token", "is no argument"),
        ("--!arg token\nreturn token", "no directive 'arg'"),
        ("return ARGV[1]", "instead of ARGV"),
        ("--!include a\n--!args A\nreturn A", "lib/a.lua and s.lua define 'A'"),
        ("local QUEUED = 2\nreturn QUEUED", "layouts and s.lua define 'QUEUED'"),
    ],
)
def test_a_wrong_script_is_refused(folder: Path, text: str, says: str) -> None:
    write(folder, lib_a="local A = 1", lib_again="--!include again\nlocal again = 1", s=text)
    with pytest.raises(ScriptError, match=says):
        assemble("s")


def test_a_caller_gives_arguments_by_name_in_any_order(folder: Path) -> None:
    write(folder, s="--!args token now:int most:int? bytes:int?\nreturn {token, now, most, bytes}")
    assert in_order("s", {"now": 1, "token": "t"}) == ["t", 1]
    assert in_order("s", {"most": 2, "now": 1, "token": "t"}) == ["t", 1, 2]
    assert in_order("s", {"bytes": 3, "most": 2, "now": 1, "token": "t"}) == ["t", 1, 2, 3]


@pytest.mark.parametrize(
    "given",
    [
        {"token": "t"},
        {"token": "t", "now": 1, "then": 2},
        {"token": "t", "now": 1, "bytes": 3},
        {"token": "t", "most": 2, "bytes": 3},
    ],
)
def test_a_caller_that_gives_others_is_refused(folder: Path, given: dict[str, object]) -> None:
    write(folder, s="--!args token now:int most:int? bytes:int?\nreturn {token, now, most, bytes}")
    with pytest.raises(ScriptError, match="takes"):
        in_order("s", given)


def test_arguments_may_go_on_in_another_line(folder: Path) -> None:
    write(folder, s="--!args token\n--!args now:int ids...\nreturn {token, now, ids_at}")
    assert "local token, now, ids_at = ARGV[1], tonumber(ARGV[2]), 3\n" in assemble("s")
