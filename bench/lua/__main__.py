"""`make bench-lua`: what the scripts of the hot paths cost Valkey, without Kafka and the service.

Each case fills a shard on a real Valkey, uses one path, and checks the result. Its figure is the
processor time of the server's main thread for each job, run or answer: reading the call, the
script, the reply and the write to the file that is synchronised. Other load on the machine changes
it little. Rounds are interleaved.

    python -m bench.lua [--only NAME,NAME] [--rounds 5] [--jobs 20000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from bench.actors import main_thread_ns
from bench.bare import KEYS, TOKEN
from bench.report import listed, markdown, say
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.app.ports import Source, WriteGroup, WriteMode
from scheduling_srv.app.replies import Cursor
from scheduling_srv.domain.job import Answer, NewJob, generate_id
from scheduling_srv.formats.announcer import Announcer
from scheduling_srv.formats.kafka_records import Emission, LogRecord, Topic
from scheduling_srv.runtime.pieces import pieces
from tests.harness.valkey import ValkeyServer
from tests.store.shard import NOW, PARTITION, SECOND, Shard, every, once

TAKEN = 1_000
"""Runs of one staging call, jobs of one claim of the bare loop."""
ANSWERS = 500
"""Answers of one call: the records of one poll of the listener."""
PAYLOAD_BYTES = 90
"""With it a job has 220 bytes as a client sends it."""


class Meter:
    """Adds up the processor time of the server's main thread."""

    def __init__(self, server: ValkeyServer) -> None:
        self.server = server
        self.spent_us = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """What happens inside counts."""
        pid = self.server.process.pid
        before = main_thread_ns(pid)
        yield
        self.spent_us += (main_thread_ns(pid) - before) / 1_000


Case: TypeAlias = Callable[[Shard, Meter, int], Awaitable[int]]
"""Uses a path for about so many jobs; returns for how many."""
CASES: dict[str, Case] = {}


def case(act: Case) -> Case:
    """Register a case under the name of its function. Its docstring is its title."""
    CASES[act.__name__.replace("_", "-")] = act
    return act


def expect(found: object, wanted: object) -> None:
    """A figure of a path that went wrong means nothing."""
    if found != wanted:
        raise AssertionError(f"found {found}, not {wanted}")


# --- write ----------------------------------------------------------------------------------------


def new_jobs(count: int, **more: int) -> list[NewJob]:
    """One-time jobs that are due at once, with ids as the service makes them."""
    return [
        once(generate_id(), creator="bench", payload=PAYLOAD_BYTES, **more) for _ in range(count)
    ]


async def write(
    shard: Shard, meter: Meter, jobs: Sequence[NewJob], size: int, *, named: bool
) -> int:
    """Create lists of `size` jobs."""
    for part in pieces(jobs, size):
        names = [job.id for job in part] if named else []
        group = WriteGroup(WriteMode.CREATE, part, named=names)
        with meter.running():
            written = await shard.jobs.write([group], NOW)
        expect(written.refusals, [None])
    expect(await shard.raw("HLEN", "jobs"), len(jobs))
    expect(await shard.raw("ZCARD", "due"), len(jobs))
    expect(len(await shard.ids()), len(jobs))
    return len(jobs)


@case
async def write_1(shard: Shard, meter: Meter, count: int) -> int:
    """Create, one job a call."""
    return await write(shard, meter, new_jobs(count // 10), 1, named=False)


@case
async def write_100(shard: Shard, meter: Meter, count: int) -> int:
    """Create, 100 jobs a call."""
    return await write(shard, meter, new_jobs(count), 100, named=False)


@case
async def write_1000(shard: Shard, meter: Meter, count: int) -> int:
    """Create, 1,000 jobs a call."""
    return await write(shard, meter, new_jobs(count), 1000, named=False)


@case
async def write_named(shard: Shard, meter: Meter, count: int) -> int:
    """Create, 1,000 jobs a call, clients gave the ids."""
    jobs = [job._replace(id=uuid.uuid4().hex) for job in new_jobs(count)]
    return await write(shard, meter, jobs, 1000, named=True)


# --- stage, take ----------------------------------------------------------------------------------


async def fill(shard: Shard, jobs: Sequence[NewJob]) -> None:
    """Create jobs and publish their announcements."""
    for part in pieces(jobs, 1000):
        await shard.create(*part)
        await shard.publish()


def runs_of(entries: Sequence[bytes], after: int) -> list[int]:
    """The instance ids on the jobs topic."""
    records = Announcer().records(entries, after, "bench")
    return [
        Emission.parse(LogRecord(0, 0, 0, made.key, made.value, dict(made.headers))).instance
        for made in records
        if made.topic is Topic.JOBS
    ]


async def stage(shard: Shard, meter: Meter, count: int, now: int = NOW) -> list[int]:
    """Stage and take `count` runs in one call for 1,000."""
    instances: list[int] = []
    published = (await shard.schedule.state()).trimmed
    while len(instances) < count:
        cursor = Cursor(published, shard.lineage)
        with meter.running():
            staged = await shard.schedule.stage(shard.token, now, TAKEN, cursor)
        taken = staged.taken
        if taken is None or not taken.entries:
            raise AssertionError("nothing is due")
        instances += runs_of(taken.entries, taken.after)
        published = taken.after + len(taken.entries)
    expect(len({*instances}), count)
    expect((await shard.schedule.counts([])).unanswered, count)
    return instances


@case
async def stage_take(shard: Shard, meter: Meter, count: int) -> int:
    """Stage and take 1,000 one-time jobs in one call."""
    await fill(shard, new_jobs(count))
    return len(await stage(shard, meter, count))


@case
async def stage_parallel(shard: Shard, meter: Meter, count: int) -> int:
    """The same with `parallel`."""
    await fill(shard, new_jobs(count, parallel=count))
    return len(await stage(shard, meter, count))


@case
async def stage_recurring(shard: Shard, meter: Meter, count: int) -> int:
    """The same for recurring jobs."""
    jobs = [every(generate_id(), SECOND, NOW, payload=PAYLOAD_BYTES) for _ in range(count)]
    await fill(shard, jobs)
    return len(await stage(shard, meter, count))


@case
async def stage_then_take(shard: Shard, meter: Meter, count: int) -> int:
    """Stage 1,000 one-time jobs, then take them in another call."""
    await fill(shard, new_jobs(count))
    published, found = (await shard.schedule.state()).trimmed, 0
    while found < count:
        with meter.running():
            await shard.schedule.stage(shard.token, NOW, TAKEN)
            taken = await shard.schedule.take(shard.token, Cursor(published, shard.lineage), NOW)
        found += len(runs_of(taken.entries, taken.after))
        published = taken.after + len(taken.entries)
    return found


# --- complete -------------------------------------------------------------------------------------


async def answer(shard: Shard, meter: Meter, instances: Sequence[int]) -> int:
    """Answer all of them with `done`."""
    offset = 0
    for part in pieces(instances, ANSWERS):
        answers = [Answer(each, failed=False, next=offset + n) for n, each in enumerate(part, 1)]
        source = Source(PARTITION, offset, offset + len(part), shard.lineage)
        offset += len(part)
        with meter.running():
            answered = await shard.jobs.complete(answers, NOW, source)
        expect(answered.known, len(part))
        await shard.publish()
    expect((await shard.schedule.counts([])).unanswered, 0)
    return len(instances)


@case
async def complete(shard: Shard, meter: Meter, count: int) -> int:
    """500 answers that end one-time jobs."""
    await fill(shard, new_jobs(count))
    instances = await stage(shard, Meter(meter.server), count)
    ended = await answer(shard, meter, instances)
    expect(await shard.raw("HLEN", "jobs"), 0)
    return ended


@case
async def complete_recurring(shard: Shard, meter: Meter, count: int) -> int:
    """500 answers to runs of recurring jobs."""
    jobs = [every(generate_id(), SECOND, NOW, payload=PAYLOAD_BYTES) for _ in range(count)]
    await fill(shard, jobs)
    return await answer(shard, meter, await stage(shard, Meter(meter.server), count))


# --- The bare loop --------------------------------------------------------------------------------


async def loaded(client: RedisClient, name: str) -> str:
    """The digest of a script of the bare loop."""
    text = Path(__file__).with_name(f"{name}.lua").read_text()
    digest: bytes = await client.execute("SCRIPT", "LOAD", text)
    return digest.decode()


async def bare_put(client: RedisClient, meter: Meter, count: int) -> int:
    """Store jobs as the bare loop does."""
    put = await loaded(client, "put")
    for part in pieces(new_jobs(count), 1000):
        rows = [value for job in part for value in (job.id, job.due, job.record)]
        with meter.running():
            await client.execute("EVALSHA", put, 2, *KEYS[:2], *rows)
    return count


@case
async def bare_write(shard: Shard, meter: Meter, count: int) -> int:
    """Bare loop: store 1,000 jobs a call."""
    return await bare_put(shard.client, meter, count)


@case
async def bare_stage(shard: Shard, meter: Meter, count: int) -> int:
    """Bare loop: claim 1,000 due jobs a call."""
    client, claim = shard.client, await loaded(shard.client, "claim")
    await bare_put(client, Meter(meter.server), count)
    await client.execute("SET", KEYS[4], TOKEN)
    found = 0
    while found < count:
        named = (NOW, TAKEN, 3 + found // TAKEN % 2, TOKEN)
        with meter.running():
            reply = await client.execute("EVALSHA", claim, len(KEYS), *KEYS, *named)
        found += len(reply) // 3
    return found


# --- Measuring ------------------------------------------------------------------------------------


async def measure(server: ValkeyServer, act: Case, count: int) -> float:
    """Microseconds for each job, run or answer, in an empty server."""
    server.flush()
    client = RedisClient(server.url, timeout=120.0)
    shard = await Shard.of(client, f"lua-{uuid.uuid4().hex[:6]}").open()
    await act(shard, Meter(server), min(count, TAKEN))  # compiles the scripts
    server.flush()
    shard = await Shard.of(client, f"lua-{uuid.uuid4().hex[:6]}").open()
    meter = Meter(server)
    done = await act(shard, meter, count)
    await client.close()
    return meter.spent_us / done


def table(found: dict[str, list[float]]) -> str:
    """The medians, with the least and the most of all rounds."""
    body = [
        [
            f"`{name}`",
            (CASES[name].__doc__ or "").removesuffix("."),
            f"{statistics.median(each):.2f}",
            f"{min(each):.2f} to {max(each):.2f}",
        ]
        for name, each in found.items()
    ]
    return markdown(["case", "path", "us", "all rounds"], body)


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="bench.lua")
    parser.add_argument("--only", default="", help="names of cases, with commas between")
    parser.add_argument("--rounds", type=int, default=5, help="the median counts")
    parser.add_argument("--jobs", type=int, default=20_000, help="jobs of a case; thousands")
    parser.add_argument("--write", type=Path, help="a JSON file for the figures")
    args = parser.parse_args()
    names = listed(CASES, args.only)
    found: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as directory:
        server = ValkeyServer(Path(directory))
        server.start()
        try:
            for _ in range(args.rounds):
                for name in names:
                    found[name].append(asyncio.run(measure(server, CASES[name], args.jobs)))
        finally:
            server.stop()
    if args.write:
        args.write.write_text(json.dumps(found, indent=1) + "\n")
    say(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
