"""Shows results: as a table for people, as JSON or YAML for programs, or names alone."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from scheduling_client.cli.options import Output

Item: TypeAlias = Mapping[str, Any]
"""A result as a JSON object."""
Columns: TypeAlias = Mapping[str, str]
"""Heading -> key of the item."""
_GAP = "  "
_BOLD, _PLAIN = "\033[1m", "\033[0m"


def say(text: str = "") -> None:
    """A line of the result."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """A line for people that is no part of the result."""
    sys.stderr.write(f"{text}\n")


def show_list(items: Sequence[Item], columns: Columns, output: Output, name: str = "id") -> None:
    """Show items, each in a line of a table. `name`: the key that names an item."""
    if output == "table":
        _table(items, columns)
    elif output == "name":
        for item in items:
            say(str(item[name]))
    else:
        _document([*items], output)


def show_item(item: Item, output: Output, name: str = "id") -> None:
    """Show one item, each of its keys in a line, and each item of a list."""
    if output == "table":
        width = max(map(len, item), default=0)
        for key, value in item.items():
            for number, line in enumerate(_lines(value)):
                say(f"{'' if number else key:<{width}}{_GAP}{line}".rstrip())
    elif output == "name":
        say(str(item[name]))
    else:
        _document(item, output)


def _document(content: object, output: Output) -> None:
    if output == "json":
        say(json.dumps(content, indent=2, ensure_ascii=False))
        return
    import yaml  # noqa: PLC0415 - it takes as long as the rest of the command

    sys.stdout.write(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _table(items: Sequence[Item], columns: Columns) -> None:
    rows = [[*columns], *([_text(item.get(key)) for key in columns.values()] for item in items)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns))]
    for number, row in enumerate(rows):
        padded = (f"{text:<{width}}" for text, width in zip(row, widths, strict=True))
        line = _GAP.join(padded).rstrip()
        say(f"{_BOLD}{line}{_PLAIN}" if number == 0 and is_colourful() else line)


def is_colourful() -> bool:
    """Whether a terminal reads along, and its user has not set NO_COLOR (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _lines(value: object) -> list[str]:
    """A value for people: an object as `key=value`, a list with a line for each item."""
    if isinstance(value, Mapping):
        return [", ".join(f"{_text(name)}={_text(each)}" for name, each in value.items()) or "-"]
    if isinstance(value, list | tuple) and value:
        return [line for each in value for line in _lines(each)]
    return [_text(value)]


def printable(text: str) -> str:
    """The text with control characters written as escapes: they do not reach the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _text(value: object) -> str:
    """One line."""
    if value is None or value in ("", [], {}):
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(text)
