"""How this Python was built.

The same code takes up to a half longer on an interpreter that was built without profile-guided
optimisation (PGO). So figures of one build say little about another one.
"""

from __future__ import annotations

import platform
import sysconfig


def describe_build() -> str:
    """Compiler and optimisation of this interpreter, as far as it knows them.

    `--enable-optimizations` is profile-guided optimisation (PGO). A distribution may use it without
    naming it among its options.
    """
    options = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    names = ("PY_CFLAGS", "PY_CFLAGS_NODIST")
    flags = " ".join(str(sysconfig.get_config_var(name) or "") for name in names)
    level = next((each for each in reversed(flags.split()) if each.startswith("-O")), "no -O")
    profiled = "--enable-optimizations" in options or "-fprofile-use" in flags
    linked = "--with-lto" in options or "-flto" in flags
    parts = [
        platform.python_compiler(),
        level,
        "PGO" if profiled else "no PGO in its options",
        "LTO" if linked else "no LTO in its options",
    ]
    if "--enable-shared" in options:
        parts.append("shared library")
    return ", ".join(parts)
