"""`make bench-contenders`: install the contenders into build/bench, each kind with its own tool.

The service can be measured without them. One that cannot be installed is left out, with a sentence.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent
PLACE = Path(__file__).parents[2] / "build" / "bench"
STAMP = "installed"


class NotInstalled(Exception):
    """A contender that cannot be measured here, and why."""


@dataclass(frozen=True)
class Kind:
    """Contenders in one language: a folder here, and its copy in build/bench."""

    name: str
    commands: Sequence[str]
    """Fetch the packages; run in the copy."""
    lock: str
    """The file that names their versions."""
    run: str
    """The command of a program, `{file}`, in the copy, `{place}`."""

    @property
    def place(self) -> Path:
        """The copy."""
        return PLACE / self.name

    def install(self) -> None:
        """Copy the folder and install the packages in its lock. Raises `NotInstalled`."""
        if self._is_installed():
            return
        shutil.copytree(SOURCE / self.name, self.place, dirs_exist_ok=True)
        for command in self.commands:
            words = command.split()
            try:
                subprocess.run(words, cwd=self.place, capture_output=True, check=True)
            except FileNotFoundError:
                raise NotInstalled(f"{words[0]} is not here") from None
            except subprocess.CalledProcessError as fault:
                said = fault.stderr.decode(errors="replace").strip()[-300:]
                raise NotInstalled(f'"{" ".join(words[:2])}" failed: {said}') from fault
        (self.place / STAMP).write_bytes(self._digest())

    def command(self, file: str) -> list[str]:
        """What starts a program. Raises `NotInstalled`."""
        if not self._is_installed():
            raise NotInstalled("not installed by make bench-contenders")
        return [word.format(place=self.place, file=file) for word in self.run.split()]

    def version(self, package: str) -> str:
        """Of a package: the first number after its name in the lock."""
        _, _, rest = (SOURCE / self.name / self.lock).read_text().partition(package)
        return str(re.findall(r"\d+\.[0-9.]+", rest)[0])

    def _is_installed(self) -> bool:
        """Whether the copy was made from the folder as it is now."""
        stamp = self.place / STAMP
        return stamp.exists() and stamp.read_bytes() == self._digest()

    def _digest(self) -> bytes:
        files = sorted(each for each in (SOURCE / self.name).iterdir() if each.is_file())
        return hashlib.sha256(b"".join(each.read_bytes() for each in files)).digest()


NODE = Kind(
    "node",
    # Not "ci": it wants packages for every platform in the lock, and not all of them exist.
    ["npm install --no-save --no-audit --no-fund --ignore-scripts --loglevel=error"],
    "package-lock.json",
    "node {place}/{file}.mjs",
)
PYTHON = Kind(
    "python",
    [
        f"{sys.executable} -m venv .venv",
        ".venv/bin/pip install --quiet --no-deps --requirement requirements.txt",
    ],
    "requirements.txt",
    f"{{place}}/.venv/bin/python -m {__package__}.python.{{file}}",
)
GO = Kind("go", ["go build -o river ."], "go.mod", "{place}/{file}")


def main() -> int:
    """Install all kinds; one that fails is only left out."""
    for kind in (NODE, PYTHON, GO):
        try:
            kind.install()
        except NotInstalled as why:
            sys.stdout.write(f"contenders in {kind.name} are left out: {why}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
