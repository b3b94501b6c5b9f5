"""The workers of `examples` do a run of the real service."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.client import contract
from tests.docs.snippets import ROOT
from tests.e2e.conftest import deployed
from tests.e2e.product import Product
from tests.harness.given import Kafka, Store
from tests.harness.ports import free_port
from tests.harness.process import Process
from tests.harness.waiting import eventually

WORKERS = ROOT / "examples" / "workers"
Started = Iterator[Process]


@pytest.fixture(scope="module")
def product(
    kafka: Kafka, valkey: Store, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    with deployed(tmp_path_factory.mktemp("examples"), kafka, valkey, {}) as product:
        yield product


@pytest.fixture
def example(tmp_path: Path) -> Started:
    process = Process("example", tmp_path / "example.log")
    yield process
    if process.alive:
        process.terminate()
        process.wait()


def environment(product: Product) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PROTOS": str(ROOT / "proto"),
        "SCHEDULING_KAFKA_BOOTSTRAP_SERVERS": product.bootstrap,
        "SCHEDULING_TOPIC_JOBS": product.names.jobs,
        "SCHEDULING_GRPC_ADDRESS": product.service.address,
    }


def is_done(product: Product, kind: str, payload: object) -> None:
    """A run of this type is answered as done."""
    data = contract.Data(creator="tester", payload=[contract.payload(json.dumps(payload))])
    product.client.create(contract.job(type=kind, now=True, data=data))
    run = product.run(kind)
    product.reader.wait_for(
        lambda record: record.key == "jobDone" and record.parse(contract.JobDone).id == run.instance
    )


def says(example: Process, words: str) -> None:
    """Its answer may be on Kafka before its output is in the file."""
    eventually(lambda: words in example.log.read_text(), what=words)


def test_a_plain_script(product: Product, example: Process) -> None:
    command = [sys.executable, str(ROOT / "examples" / "worker.py")]
    example.spawn(command, env=environment(product))
    is_done(product, "send_report", 7)
    says(example, "sending 7 attempt 1")


def test_a_worker_beside_fastapi(product: Product, example: Process) -> None:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "examples.workers.fastapi_app:app"]
    example.spawn([*command, "--port", str(port)], env=environment(product))
    is_done(product, "send_mail", {"to": "ann"})
    # Its worker starts before its port is open.
    eventually(lambda: sent(port) == ["ann"], what="the list of what was sent")


def sent(port: int) -> object:
    try:
        with urlopen(f"http://127.0.0.1:{port}/sent") as answer:
            return json.load(answer)
    except OSError:
        return None


def test_a_django_command(product: Product, example: Process) -> None:
    command = [sys.executable, "-m", "examples.workers.django_command"]
    example.spawn(command, env=environment(product))
    is_done(product, "publish", 5)
    says(example, "published 5 attempt 1")


def installed(tmp_path: Path, language: str, *command: str) -> Path:
    """A copy with its packages, which come from the registry of the language."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    folder = tmp_path / language
    ignore = shutil.ignore_patterns("node_modules")
    shutil.copytree(WORKERS / language, folder, ignore=ignore)
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_a_worker_in_node(product: Product, example: Process, tmp_path: Path) -> None:
    folder = installed(tmp_path, "node", "npm", "ci", "--no-audit", "--no-fund")
    example.spawn(["node", "worker.mjs"], env=environment(product), cwd=folder)
    is_done(product, "send_sms", "hello")
    says(example, 'sms "hello"')


@pytest.mark.slow
def test_a_worker_in_go(product: Product, example: Process, tmp_path: Path) -> None:
    folder = installed(tmp_path, "go", "go", "build", "-o", "worker", ".")
    example.spawn([folder / "worker"], env=environment(product))
    is_done(product, "resize", "a")
    says(example, "resized by run")
