"""BullMQ with a worker that produces to Kafka: what it takes to start it, if Node.js is there."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.actors import Actor
from bench.site import SOURCE, Site, Skipped

PLACE = Path(__file__).parents[1] / "build" / "bench" / "node"
LOCKED = ("package.json", "package-lock.json")
PROGRAM = "bull.mjs"
# Not "ci": it wants packages for every platform in the lock, and not all of them exist.
INSTALL = (
    "install",
    "--no-save",
    "--no-audit",
    "--no-fund",
    "--ignore-scripts",
    "--loglevel=error",
)


@functools.cache
def installed() -> str:
    """The command that runs JavaScript, with BullMQ in place. Raises `Skipped`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise Skipped("Node.js is not here")
    PLACE.mkdir(parents=True, exist_ok=True)
    fresh = all(_same(name) for name in LOCKED) and (PLACE / "node_modules").is_dir()
    for name in (*LOCKED, PROGRAM):
        shutil.copyfile(SOURCE / name, PLACE / name)
    if not fresh:
        done = subprocess.run(
            [npm, *INSTALL], cwd=PLACE, capture_output=True, text=True, check=False
        )
        if done.returncode:
            (PLACE / LOCKED[0]).unlink()  # the next run tries again
            raise Skipped(f"npm could not install BullMQ: {done.stderr.strip()[-300:]}")
    return node


def _same(name: str) -> bool:
    copy = PLACE / name
    return copy.exists() and copy.read_bytes() == (SOURCE / name).read_bytes()


@contextmanager
def queue(site: Site) -> Iterator[tuple[Actor, str]]:
    """The program, connected, and the topic that its worker produces to."""
    node = installed()
    topic = f"bull-{site.number()}"
    site.make_topics(topic)
    with Actor("bullmq", [node, PLACE / PROGRAM], site.folder / "bullmq.log") as actor:
        host, port = "127.0.0.1", site.valkey.port
        actor.ask("open", host=host, port=port, bootstrap=site.kafka.bootstrap, topic=topic)
        yield actor, topic
