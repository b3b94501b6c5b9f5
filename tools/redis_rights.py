"""Writes the rights that the service needs of Redis into docs/operations.md: `make docs`.

They are the commands that the scripts and the adapter call.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from scheduling_srv.adapters.redis.lua_source import FOLDER, assemble
from scheduling_srv.adapters.redis.preflight import USEFUL

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"
BEGIN, END = "<!-- rights: make docs -->\n", "<!-- end of rights -->\n"
CALLED = re.compile(r"""(?:call|in_batches|execute|on_primary)\(\s*['"]([A-Z]+)['"]""")
OF_CONNECTIONS = frozenset({"SELECT", "SUBSCRIBE", "UNSUBSCRIBE", "EVAL", "EVALSHA", "PING"})
"""redis-py calls them. `AUTH` needs no right."""
USEFUL_RIGHTS = ("+info", "+pubsub|channels", "+pubsub|numsub", "+client|setinfo")
"""The service works without them (docs/operations.md). redis-py tells its name to Redis."""
SHARDS = 3
"""Scripts for several shards call all that those for one do."""


def used() -> frozenset[str]:
    """The commands that the scripts and the adapter of Redis call."""
    return frozenset(command for text in _texts() for command in CALLED.findall(text))


def needed() -> frozenset[str]:
    """Without those that the service can do without."""
    useful = {command for command, *_ in USEFUL}
    return (used() - useful) | OF_CONNECTIONS


def rights() -> list[str]:
    """The commands of a rule of `ACL SETUSER`, for the user of the service."""
    return ["-@all", *(f"+{command.lower()}" for command in sorted(needed())), *USEFUL_RIGHTS]


def with_rights(page: str) -> str:
    """The page with its list as it has to be."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    rule = ("~{namespace}:*", "~{client_id}:*", "resetchannels", "&{namespace}:*")
    lines = ["ACL SETUSER scheduling on >PASSWORD", " ".join(rule), *_wrapped()]
    return f"{before}{BEGIN}\n```text\n{chr(10).join(lines)}\n```\n\n{END}{after}"


def _wrapped() -> list[str]:
    return textwrap.wrap(" ".join(rights()), 96, break_on_hyphens=False, break_long_words=False)


def _texts() -> Iterator[str]:
    for script in FOLDER.iterdir():
        if script.name.endswith(".lua"):
            yield assemble(script.name.removesuffix(".lua"), SHARDS)
    for library in (FOLDER / "lib").iterdir():
        yield library.read_text()
    for module in Path(str(FOLDER)).parent.glob("*.py"):
        yield module.read_text()


if __name__ == "__main__":
    PAGE.write_text(with_rights(PAGE.read_text()))
