"""Files that are read again when they change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

Stamp: TypeAlias = tuple[int, int, int] | None


class WatchedFiles:
    """Notices changes of files, also if a link in their path leads elsewhere (Kubernetes)."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._seen = self._stamps()

    def have_changed(self) -> bool:
        """Whether one of them is another one than at the last question."""
        now = self._stamps()
        changed, self._seen = now != self._seen, now
        return changed

    def _stamps(self) -> Sequence[Stamp]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> Stamp:
    """None: it is not there, or may not be read."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_mtime_ns, about.st_size
