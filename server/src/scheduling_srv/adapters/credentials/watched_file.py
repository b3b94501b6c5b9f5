"""Files that are read again when they change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

Stamp: TypeAlias = tuple[int, int, int] | None


class WatchedFiles:
    """Notices changes of files, also if a link in their path leads elsewhere (Kubernetes).

    Make it before the files are read for the first time: later changes are noticed then.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._asked = self._read = self._stamps()

    def have_changed(self) -> bool:
        """Whether one of them is another one than those that were read. Ask before reading."""
        self._asked = self._stamps()
        return self._asked != self._read

    def were_read(self) -> None:
        """Those of the last question were read, without a fault."""
        self._read = self._asked

    def _stamps(self) -> Sequence[Stamp]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> Stamp:
    """None: it is not there, or may not be read."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_mtime_ns, about.st_size
