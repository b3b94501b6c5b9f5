"""What users get with the package: protos, code for other languages, a page without dead links."""

import importlib.util
import subprocess
import sys
import tarfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from types import ModuleType
from zipfile import ZipFile

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from scheduling_client.wire import commandinterface_pb2, job_pb2, resourcebase_pb2
from scheduling_srv import __version__

ROOT = Path(__file__).parents[2]
PROTOS = {
    "commandinterface": commandinterface_pb2,
    "job": job_pb2,
    "resourcebase": resourcebase_pb2,
}


def hook() -> ModuleType:
    path = ROOT / "server" / "hatch_build.py"
    spec = importlib.util.spec_from_file_location("hatch_build", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(kind: str, source: Path, target: Path) -> Path:
    """Build a wheel or an sdist of a distribution."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ZipFile]:
    target = tmp_path_factory.mktemp("dist")
    return {
        name: ZipFile(build("wheel", ROOT / name, target / name)) for name in ("client", "server")
    }


def files_of(wheel: ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


def files_below(folder: Path, package: str) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in (folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def metadata_of(wheel: ZipFile) -> Message:
    (path,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    return message_from_bytes(wheel.read(path))


def test_the_protos_are_in_the_wheel_of_the_client(wheels: dict[str, ZipFile]) -> None:
    """Below the folder that they import each other from."""
    for name in PROTOS:
        path = f"scheduling_client/wire/{name}.proto"
        assert wheels["client"].read(path) == (ROOT / "proto" / path).read_bytes()
    for path in files_below(ROOT / "proto", "scheduling"):
        packed = wheels["client"].read(f"scheduling_client/protos/{path}")
        assert packed == (ROOT / "proto" / path).read_bytes()


def test_the_wheels_have_the_code_and_nothing_else(wheels: dict[str, ZipFile]) -> None:
    protos = files_below(ROOT / "proto", "scheduling_client") | {
        f"scheduling_client/protos/{path}" for path in files_below(ROOT / "proto", "scheduling")
    }
    client = files_below(ROOT / "client" / "src", "scheduling_client")
    assert files_of(wheels["client"]) == client | protos
    server = files_below(ROOT / "server" / "src", "scheduling_srv")
    assert files_of(wheels["server"]) == server


@pytest.mark.parametrize("name", ["client", "server"])
def test_a_wheel_of_the_sdist_is_the_wheel_of_the_checkout(
    name: str, wheels: dict[str, ZipFile], tmp_path: Path
) -> None:
    packed = build("sdist", ROOT / name, tmp_path / "sdist")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / packed.name.removesuffix(".tar.gz")
    again = ZipFile(build("wheel", source, tmp_path / "wheel"))
    assert sorted(again.namelist()) == sorted(wheels[name].namelist())
    assert metadata_of(again).as_bytes() == metadata_of(wheels[name]).as_bytes()


def test_the_wheel_of_the_client_is_small(tmp_path: Path) -> None:
    assert build("wheel", ROOT / "client", tmp_path).stat().st_size < 300_000


def test_both_distributions_have_one_version(wheels: dict[str, ZipFile]) -> None:
    client, server = metadata_of(wheels["client"]), metadata_of(wheels["server"])
    assert client["Version"] == server["Version"] == __version__
    assert f"scheduling-client=={__version__}" in server.get_all("Requires-Dist", [])


def test_the_client_needs_no_server(wheels: dict[str, ZipFile]) -> None:
    needs = metadata_of(wheels["client"]).get_all("Requires-Dist", [])
    always = {each.partition(">")[0] for each in needs if "extra ==" not in each}
    assert always == {"googleapis-common-protos", "grpcio", "protobuf", "tzdata"}
    of_the_worker = {each.partition(">")[0] for each in needs if "extra == 'worker'" in each}
    assert of_the_worker == {"confluent-kafka"}
    of_the_command = {each.partition(">")[0] for each in needs if "extra == 'cli'" in each}
    assert of_the_command == {"cyclopts", "pyyaml", "rich"}
    assert {*wheels["client"].namelist()}.isdisjoint(wheels["server"].namelist())


@pytest.mark.parametrize("name", ["client", "server"])
def test_the_licence_is_that_of_the_checkout(name: str) -> None:
    assert (ROOT / name / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_the_server_leaves_sqlite_to_workers() -> None:
    """It imports the package of the client, and pays for no module that only workers use."""
    code = "import sys, scheduling_client; sys.exit('sqlite3' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "extras"), [("client", ["cli", "worker"]), ("server", ["embedded", "jwt", "otel"])]
)
def test_the_page_has_no_relative_links_and_no_extras_of_a_checkout(
    name: str, extras: list[str], wheels: dict[str, ZipFile]
) -> None:
    metadata = metadata_of(wheels[name])
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_all("Provides-Extra") == extras
    text = metadata.get_payload()
    assert isinstance(text, str)
    assert f"# {metadata['Name']}" in text
    for relative in ("](docs/", "](examples/", "](proto/", "](LICENSE", "](../"):
        assert relative not in text


@pytest.mark.slow
def test_the_client_installs_alone(tmp_path: Path) -> None:
    """Into a fresh environment: all its modules can be imported there, and no server can.

    The modules of the command and of the worker need their extras, and the worker says so.
    """
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path)], check=True)
    python = tmp_path / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", str(ROOT / "client")]
    subprocess.run(install, check=True)
    subprocess.run([str(python), "-I", "-c", IMPORT_ALL], check=True)


IMPORT_ALL = """
import importlib.util, pkgutil, scheduling_client

OPTIONAL = (
    "scheduling_client.cli.", "scheduling_client.worker.", "scheduling_client.testing.emitted"
)
for module in pkgutil.walk_packages(scheduling_client.__path__, "scheduling_client."):
    if not module.name.startswith(OPTIONAL):
        importlib.import_module(module.name)
assert importlib.util.find_spec("scheduling_srv") is None

worker = scheduling_client.Worker("w")
worker.job("t")(print)
try:
    worker.run()
except scheduling_client.worker.WorkerError as fault:
    assert "pip install 'scheduling-client[worker]'" in str(fault)
else:
    raise AssertionError("It ran without Kafka.")
"""

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
    assert described.options.go_package == f"scheduling_client/wire/{name};{name}"
