"""What users get with the package: protos, code for other languages, a page without dead links."""

import importlib.util
import subprocess
import sys
from email import message_from_bytes
from pathlib import Path
from types import ModuleType
from zipfile import ZipFile

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from scheduling_srv.wire import commandinterface_pb2, job_pb2, resourcebase_pb2

ROOT = Path(__file__).parents[2]
PROTOS = {
    "commandinterface": commandinterface_pb2,
    "job": job_pb2,
    "resourcebase": resourcebase_pb2,
}


def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    target = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = target.glob("*.whl")
    return ZipFile(built)


def test_the_protos_are_in_the_wheel(wheel: ZipFile) -> None:
    """Below the folder that they import each other from."""
    for name in PROTOS:
        path = f"scheduling_srv/wire/{name}.proto"
        assert wheel.read(path) == (ROOT / "proto" / path).read_bytes()


def test_the_wheel_has_the_code_and_nothing_else(wheel: ZipFile) -> None:
    sources = {
        path.relative_to(ROOT / folder).as_posix()
        for folder in ("src", "proto")
        for path in (ROOT / folder / "scheduling_srv").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside == sources


def test_the_page_has_no_relative_links_and_no_extras_of_a_checkout(wheel: ZipFile) -> None:
    (path,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    metadata = message_from_bytes(wheel.read(path))
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_all("Provides-Extra") == ["embedded"]
    text = metadata.get_payload()
    assert isinstance(text, str)
    assert "# scheduling-srv" in text
    for relative in ("](docs/", "](examples/", "](proto/", "](LICENSE"):
        assert relative not in text


README = """\
![a picture](docs/demo.svg) of [the contract](docs/contract.md#cron), [here](#run-it),
[elsewhere](https://example.org/a).

```sh
echo '[x](docs/contract.md)'
```
"""


def test_without_an_address_links_become_their_texts() -> None:
    assert hook().page(README, "") == README.replace(
        "![a picture](docs/demo.svg) of [the contract](docs/contract.md#cron)",
        "a picture of the contract",
    )
    assert hook().urls("") == {}


def test_with_an_address_links_are_absolute() -> None:
    assert hook().page(README, "https://example.org/o/r") == README.replace(
        "](docs/demo.svg)", "](https://example.org/o/r/raw/main/docs/demo.svg)"
    ).replace("[the contract](docs/", "[the contract](https://example.org/o/r/blob/main/docs/")
    assert hook().urls("https://example.org/o/r") == {
        "Source": "https://example.org/o/r",
        "Documentation": "https://example.org/o/r/tree/main/docs",
        "Changelog": "https://example.org/o/r/blob/main/CHANGELOG.md",
    }


@pytest.mark.parametrize("name", PROTOS)
def test_other_languages_have_packages_of_their_own(name: str) -> None:
    """The name on the wire is that of 2018; the others are for generated code."""
    described = FileDescriptorProto()
    PROTOS[name].DESCRIPTOR.CopyToProto(described)
    assert described.package == f"io.restorecommerce.{name}"
    assert described.options.java_package == f"io.restorecommerce.{name}"
    assert described.options.java_multiple_files
    assert described.options.csharp_namespace == f"Io.Restorecommerce.{name.capitalize()}"
    assert described.options.go_package == f"scheduling_srv/wire/{name};{name}"
