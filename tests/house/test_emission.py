"""The room of the owner: its parts are put together by their constructors, and are explained."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.code import SERVER, functions, modules, parsed

SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
HEADS = ("owner", "emitter", "stager", "publisher", "idempotent_publisher")


def assigned(path: Path) -> Iterator[ast.Attribute]:
    for node in ast.walk(parsed(path)):
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            yield from (each for each in ast.walk(target) if isinstance(each, ast.Attribute))


def is_own(attribute: ast.Attribute) -> bool:
    return isinstance(attribute.value, ast.Name) and attribute.value.id in ("self", "cls")


@pytest.mark.parametrize("name", ["assemble", "delivery", "shard"])
def test_the_assembly_sets_no_attribute_of_a_part(name: str) -> None:
    """Nothing is wired after construction: each part is whole when it is made."""
    path = SERVER / "service" / f"{name}.py"
    assert [ast.unparse(each) for each in assigned(path) if not is_own(each)] == []


@pytest.mark.parametrize("path", modules("app/owner"), ids=lambda path: path.name)
def test_no_part_takes_a_callback_later(path: Path) -> None:
    """A parameter that can be called is kept by a constructor only."""
    for function in functions(path):
        given = {
            arg.arg
            for arg in (*function.args.args, *function.args.kwonlyargs)
            if arg.annotation and re.search(r"Callable|Callback", ast.unparse(arg.annotation))
        }
        kept = {
            node.value.id
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name)
        }
        assert function.name == "__init__" or not given & kept, function.name


@pytest.mark.parametrize("name", HEADS)
def test_two_sentences_explain_each_part(name: str) -> None:
    text = ast.get_docstring(parsed(SERVER / "app" / "owner" / f"{name}.py")) or ""
    assert 1 <= len(SENTENCE_END.findall(text)) <= 3, text
