"""Generates the wire code of the client from the protos: `make proto`.

The protos of scheduling.v1 lie where their package says, as buf wants it. Python imports generated
code by that path, so the code moves into the client, and its imports of itself change.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROTOS = ROOT / "proto"
WIRE = "scheduling_client/wire"
V1 = "scheduling/v1"
SERVICES_OF_2018 = ("job.proto", "commandinterface.proto")
"""The third file has no service, so no gRPC code."""
_OWN_IMPORT = re.compile(r"^from scheduling\.v1 import ", re.MULTILINE)


def protoc(target: Path, files: Sequence[Path], *outputs: str) -> None:
    """Run the compiler. `outputs` are options that each take the target."""
    plugins = [
        f"--plugin={path}" for path in sorted(Path(sys.executable).parent.glob("protoc-gen-mypy*"))
    ]
    options = [f"--{output}{target}" for output in outputs]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", *plugins, *options]
    subprocess.run([*command, *map(str, files)], check=True)


def generate(target: Path, messages: Sequence[Path], services: Sequence[Path]) -> None:
    """Messages of all files, and stubs of those with services, with their types."""
    protoc(target, messages, "python_out=", "mypy_out=quiet:")
    protoc(target, services, "grpc_python_out=", "mypy_grpc_out=quiet:")


def generate_2018(target: Path) -> None:
    """The package `scheduling_client.wire`, but for its `__init__.py`."""
    folder = PROTOS / WIRE
    services = [folder / name for name in SERVICES_OF_2018]
    generate(target, sorted(folder.glob("*.proto")), services)


def generate_v1(target: Path) -> None:
    """The package `scheduling_client.wire.v1`, but for its `__init__.py`."""
    folder, package = PROTOS / V1, target / WIRE / "v1"
    package.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        files = sorted(folder.glob("*.proto"))
        generate(Path(made), files, sorted(folder.glob("*_service.proto")))
        for path in sorted((Path(made) / V1).iterdir()):
            text = _OWN_IMPORT.sub("from scheduling_client.wire.v1 import ", path.read_text())
            (package / path.name).write_text(text)


if __name__ == "__main__":
    generate_2018(Path(sys.argv[1]))
    generate_v1(Path(sys.argv[1]))
