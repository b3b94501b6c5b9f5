"""`make bench-worst`: the longest Lua call and the longest loop step of each path with a budget.

Each case fills a shard on a real Valkey with the worst legal input of one path, then uses that
path. The table shows the longest call to Redis and the longest time that the event loop was held.
Both are processor time, of the server's main thread and of the loop's thread: on an idle machine
that is the time that others wait, and on a busy one it does not change. The budgets are those of
docs/decisions/0007. A case is a function with `@case`: it prepares, then returns the coroutine that
is measured. Add yours below.

    python -m bench.worst [--only NAME,NAME] [--write FILE] [--before FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from bench.actors import main_thread_ns
from bench.report import listed, markdown, say
from scheduling_client.wire import job_pb2
from scheduling_srv.adapters.redis import scripts
from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.app.budget import DELETED_IDS
from scheduling_srv.app.ports import Source
from scheduling_srv.app.replies import LEAVING, Cursor, RebuiltRun
from scheduling_srv.app.sharding.changes import plan_delete
from scheduling_srv.app.sharding.claims import CLAIMED_IDS, Claim
from scheduling_srv.domain.backoff import BackoffType
from scheduling_srv.domain.job import Answer, JobRequest, NewJob, Trigger, TriggerKind
from scheduling_srv.formats.job_record import pack
from tests.harness.valkey import ValkeyServer
from tests.store.shard import DAY, NOW, PARTITION, SECOND, Shard, every, once
from tests.store.test_transfers import SHARDS, of, transfers

LUA_BUDGET_MS = 50.0
LARGE_BYTES = 850_000
"""Bytes of a large job: the default limit is 900,000."""
BEFORE = Path(__file__).with_name("worst_before.json")
"""What the table compares with: the same cases at the commit before the budgets."""

Act: TypeAlias = Callable[[], Awaitable[object]]
Prepare: TypeAlias = Callable[[Shard], Awaitable[Act]]


class Case(NamedTuple):
    """One path and its worst legal input."""

    name: str
    path: str
    worst: str
    prepare: Prepare


class Measured(NamedTuple):
    """The longest steps of one case, in milliseconds."""

    lua_ms: float
    script: str
    calls: int
    loop_ms: float
    total_ms: float


CASES: list[Case] = []


def case(path: str) -> Callable[[Prepare], Prepare]:
    """Register a case of this path. Its docstring is the worst legal input."""

    def register(prepare: Prepare) -> Prepare:
        worst = (prepare.__doc__ or "").removesuffix(".")
        CASES.append(Case(prepare.__name__, path, worst, prepare))
        return prepare

    return register


# --- Inputs -------------------------------------------------------------------------------------


def large(
    job_id: str,
    kind: TriggerKind,
    size: int = LARGE_BYTES,
    due: int = NOW,
    **more: Any,  # noqa: ANN401
) -> NewJob:
    """A job whose payload has `size` bytes."""
    interval = more.pop("interval", 0)
    cron = more.pop("cron", "")
    data = job_pb2.Data(timezone="UTC")
    data.payload.add(value=b"x" * size)
    rest = job_pb2.Job(
        attempts=more.get("attempts", 0), parallel=more.get("parallel", 0), interval=cron
    )
    request = JobRequest(
        id=job_id,
        type=more.pop("type", "t"),
        creator="",
        timezone="UTC",
        data=data.SerializeToString(),
        rest=rest.SerializeToString(),
        interval=rest.interval,
        **more,
    )
    return NewJob(job_id, due, pack(request, Trigger(kind, due, interval)))


async def create(shard: Shard, jobs: Sequence[NewJob], bytes_at_once: int = 20_000_000) -> None:
    """Create jobs in calls of this many bytes, and publish them."""
    piece: list[NewJob] = []
    for job in jobs:
        piece.append(job)
        if len(piece) >= 1000 or sum(len(each.record) for each in piece) > bytes_at_once:
            await shard.create(*piece)
            await publish(shard)
            piece = []
    if piece:
        await shard.create(*piece)
    await publish(shard)


async def publish(shard: Shard) -> None:
    """Take and trim all that the outbox holds."""
    published = (await shard.schedule.state()).trimmed
    while True:
        cursor = Cursor(published, shard.lineage)
        taken = await shard.schedule.take(shard.token, cursor, NOW)
        if not taken.entries:
            return
        published = taken.after + len(taken.entries)


async def stage_all(shard: Shard, now: int = NOW) -> None:
    """Stage all that is due, and publish it."""
    while True:
        published = (await shard.schedule.state()).trimmed
        cursor = Cursor(published, shard.lineage)
        staged = await shard.schedule.stage(shard.token, now, 1000, cursor)
        await publish(shard)
        if not staged.entries and (staged.next_due is None or staged.next_due > now):
            return


async def run_all(shard: Shard, now: int = NOW) -> list[int]:
    """Stage all that is due; returns the instance ids."""
    await stage_all(shard, now)
    return [int(name) for name in await shard.raw("HKEYS", "runs")]


# --- Cases: the owner's side --------------------------------------------------------------------


@case("stage.lua, take.lua")
async def stage_large(shard: Shard) -> Act:
    """300 jobs of 850 kB due at once."""
    await create(shard, [large(f"j{n}", TriggerKind.ONCE) for n in range(300)])
    return lambda: stage_all(shard)


@case("stage.lua, take.lua")
async def stage_small(shard: Shard) -> Act:
    """20,000 jobs of 220 bytes due at once."""
    await create(shard, [large(f"j{n}", TriggerKind.ONCE, 180) for n in range(20_000)])
    return lambda: stage_all(shard)


@case("stage.lua (release)")
async def release_many(shard: Shard) -> Act:
    """4,000 held runs of one type find room at once."""
    first = [once(f"a{n}", parallel=4000) for n in range(4000)]
    return await release(shard, first, [once(f"b{n}", parallel=4000) for n in range(4000)])


@case("stage.lua (release)")
async def release_large(shard: Shard) -> Act:
    """200 held runs of 850 kB find room at once."""
    held = [large(f"b{n}", TriggerKind.ONCE, parallel=200) for n in range(200)]
    return await release(shard, [once(f"a{n}", parallel=200) for n in range(200)], held)


@case("stage.lua (release)")
async def release_limits(shard: Shard) -> Act:
    """5,000 held runs, each with a limit of its own, find room at once."""
    first = [once(f"a{n}") for n in range(5000)]
    return await release(shard, first, [once(f"b{n}", parallel=n + 1) for n in range(5000)])


async def release(shard: Shard, first: Sequence[NewJob], held: Sequence[NewJob]) -> Act:
    """The first jobs run, the others are held; then all of the first are answered."""
    await create(shard, first)
    instances = await run_all(shard)
    await create(shard, held)
    await stage_all(shard)
    for at in range(0, len(instances), 500):
        await shard.answer(*[Answer(each, failed=False) for each in instances[at : at + 500]])
    await publish(shard)
    return lambda: stage_all(shard)


@case("take.lua")
async def take_group(shard: Shard) -> Act:
    """One list of 28 MB: a group of 32 jobs of 850 kB."""
    await shard.create(*[large(f"j{n}", TriggerKind.ONCE, due=NOW + DAY) for n in range(32)])
    return lambda: publish(shard)


@case("take.lua")
async def take_mixed(shard: Shard) -> Act:
    """Dead letters of 500 kB behind 99 small entries."""
    await publish(shard)
    for _ in range(4):
        await shard.jobs.append([b"E" + b"x" * 200] * 60, NOW)
        await shard.jobs.append([b"E" + b"x" * 500_000] * 40, NOW)
    return lambda: publish(shard)


@case("complete.lua")
async def answer_large(shard: Shard) -> Act:
    """300 answers to runs of jobs of 850 kB in one batch of records."""
    await create(shard, [large(f"j{n}", TriggerKind.ONCE) for n in range(300)])
    answers = [Answer(each, failed=False) for each in await run_all(shard)]
    return lambda: answer_all(shard, answers)


@case("complete.lua")
async def answer_failed(shard: Shard) -> Act:
    """500 failures that are retried."""
    await create(shard, [once(f"j{n}", attempts=3, delay=1000) for n in range(500)])
    answers = [Answer(each, failed=True) for each in await run_all(shard)]
    return lambda: answer_all(shard, answers)


async def answer_all(shard: Shard, answers: Sequence[Answer]) -> None:
    """Apply answers as the listener does: each is a record of its own."""
    first, done = shard.offset, 0
    shard.offset += len(answers)
    answers = [each._replace(next=first + at + 1) for at, each in enumerate(answers)]
    while done < len(answers):
        source = Source(PARTITION, first + done, first + len(answers), shard.lineage)
        done += (await shard.jobs.complete(answers[done:], NOW, source)).looked_at


@case("expire.lua")
async def expire_large(shard: Shard) -> Act:
    """300 runs of jobs of 850 kB time out at once."""
    await create(shard, [large(f"j{n}", TriggerKind.ONCE) for n in range(300)])
    await run_all(shard)

    return lambda: expire_all(shard)


@case("expire.lua")
async def expire_small(shard: Shard) -> Act:
    """2,000 small runs time out at once and are retried."""
    await create(shard, [once(f"j{n}", attempts=3, delay=DAY * 9) for n in range(2000)])
    await run_all(shard)

    return lambda: expire_all(shard)


async def expire_all(shard: Shard) -> None:
    """Time out all runs, as the stager does."""
    while await shard.raw("ZCARD", "running"):
        await shard.schedule.expire(shard.token, NOW + DAY, 500)


@case("delete.lua")
async def delete_retries(shard: Shard) -> Act:
    """A job with 40,000 waiting retries."""
    job = every("j", SECOND, attempts=10, backoff=BackoffType.FIXED, delay=DAY * 300)
    await plant_retries(shard, job, 40_000)

    async def act() -> None:
        await shard.delete("j")
        while await shard.jobs.sweep_retries():
            await publish(shard)

    return act


async def plant_retries(shard: Shard, job: NewJob, count: int) -> None:
    """Store `count` waiting retries of a job, as a rebuild does."""
    await create(shard, [job])
    seq = int(await shard.raw("HGET", "meta", "seq"))
    runs = [
        RebuiltRun(job.id, seq, NOW - n * SECOND, 2, due=NOW + DAY * 300 - n * SECOND)
        for n in range(count)
    ]
    for at in range(0, count, 500):
        await shard.schedule.load_runs(shard.token, runs[at : at + 500])


@case("sweep.lua")
async def sweep_large(shard: Shard) -> Act:
    """Delete of everything: 300 jobs of 850 kB."""
    await create(shard, [large(f"j{n}", TriggerKind.ONCE, due=NOW + DAY) for n in range(300)])
    return shard.clear


@case("sweep_now.lua")
async def sweep_now_large(shard: Shard) -> Act:
    """Reset: 300 `now` jobs of 850 kB."""
    await create(shard, [large(f"j{n}", TriggerKind.NOW, due=NOW + DAY) for n in range(300)])
    return shard.reset


@case("put_back.lua")
async def restore_large(shard: Shard) -> Act:
    """Restore: small events of 300 jobs that have 850 kB by now."""
    await create(shard, [large(f"j{n}", TriggerKind.ONCE, due=NOW + DAY) for n in range(300)])
    events = [large(f"j{n}", TriggerKind.ONCE, size=1, due=NOW + DAY) for n in range(300)]
    return lambda: shard.put_back(events, [], 1 << 40)


@case("unplanned.lua, plan.lua")
async def plan_large(shard: Shard) -> Act:
    """300 cron jobs of 850 kB ran at once."""
    jobs = [large(f"j{n}", TriggerKind.CRON, cron="* * * * *") for n in range(300)]
    await create(shard, jobs)
    await stage_all(shard)

    return lambda: plan_all(shard)


async def plan_all(shard: Shard) -> None:
    """Compute the next times, as the owner does."""
    while await shard.raw("ZCARD", "plan"):
        await shard.plan()


@case("planner (Python)")
async def plan_slow(shard: Shard) -> Act:
    """500 cron jobs with different texts that take long to compute."""
    jobs = [
        large(
            f"j{n}",
            TriggerKind.CRON,
            100,
            cron=f"{n % 60} {n // 60 % 24} 29 2 {n % 5 + 1}#5" if n % 2 else f"{n % 60} 0 29 2 *",
        )
        for n in range(500)
    ]
    await create(shard, jobs)
    await stage_all(shard)

    return lambda: plan_all(shard)


# --- Cases: several shards, where a removed job leaves its shard (docs/decisions/0026) ------------

REMOVALS = 100_000
"""Removals that Kafka does not have yet: deletes go on while it is away."""


async def leaving_shard(shard: Shard, jobs: int) -> tuple[Shard, list[str]]:
    """One of several shards with this number of small jobs; also their ids."""
    several = await of(shard.client, f"{shard.namespace}-several", 0, limit=REMOVALS).open()
    names = [f"j{number:06}" for number in range(jobs)]
    await create(several, [once(name, NOW + DAY) for name in names])
    return several, names


async def removed_shard(shard: Shard, more: int = 0) -> tuple[Shard, list[str]]:
    """The same; all but the last jobs are removed, and Kafka does not know it."""
    several, names = await leaving_shard(shard, REMOVALS + more)
    for at in range(0, REMOVALS, DELETED_IDS):
        await several.delete(*names[at : at + DELETED_IDS])
    return several, names


@case("sweep.lua (leaving)")
async def leave_swept(shard: Shard) -> Act:
    """Delete of everything: 20,000 small jobs leave a shard."""
    several, _ = await leaving_shard(shard, 20_000)

    async def act() -> None:
        await several.clear()

    return act


@case("take.lua (leaving)")
async def leave_published(shard: Shard) -> Act:
    """100,000 removals of jobs get to Kafka."""
    several, _ = await removed_shard(shard)
    return lambda: publish(several)


@case("claim.lua (leaving)")
async def leave_claimed(shard: Shard) -> Act:
    """500 ids are created again, with 100,000 ids that leave."""
    several, names = await removed_shard(shard)
    door = transfers(several, 0, limit=REMOVALS)

    async def act() -> None:
        claimed = await door.claim("token", names[:CLAIMED_IDS], DAY)
        if {*claimed.kinds} != {LEAVING}:
            raise AssertionError

    return act


@case("commit.lua (leaving)")
async def leave_decided(shard: Shard) -> Act:
    """A record deletes 10,000 small jobs, and 100,000 ids leave."""
    several, names = await removed_shard(shard, 10_000)
    ids = names[REMOVALS:]
    change = plan_delete(dict.fromkeys(ids, 0), 0)
    claim = Claim("token", ids, {}, {}, [])
    door = transfers(several, 0, limit=REMOVALS)

    async def act() -> None:
        for at in range(0, len(ids), CLAIMED_IDS):
            await door.claim("token", ids[at : at + CLAIMED_IDS], DAY)
        if not await door.commit(change, NOW, claim.held(), several.source(0)):
            raise AssertionError

    return act


# --- Measuring ----------------------------------------------------------------------------------


class LoopWatch:
    """Measures how long the event loop is held."""

    def __init__(self) -> None:
        self.longest_ms = 0.0

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """While inside."""
        task = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        try:
            yield
        finally:
            await asyncio.sleep(0)
            task.cancel()

    async def _watch(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest_ms = max(self.longest_ms, (now - last) * 1000)
            last = now


class TimedClient(RedisClient):
    """Notes what each script costs the server. One call at a time."""

    def __init__(self, server: ValkeyServer) -> None:
        super().__init__(server.url, timeout=120.0)
        self.pid = server.process.pid
        self.names: dict[Value, str] = {}
        self.timed: list[tuple[float, str]] = []
        """Milliseconds, and the script."""

    async def load_scripts(self) -> None:
        """All of them: their first call is not to compile them."""
        folder = resources.files(scripts.__package__) / "lua"
        names = [file.name[:-4] for file in folder.iterdir() if file.name.endswith(".lua")]
        for name, shards in product(names, (1, SHARDS)):
            await super().execute("SCRIPT", "LOAD", scripts.source(name, shards))
            self.names[scripts.digest(name, shards)] = name

    async def execute(self, *command: Value) -> Any:  # noqa: ANN401
        """As `RedisClient.execute`."""
        before = self._spent_ms()
        answer = await super().execute(*command)
        if command[0] == "EVALSHA":
            self.timed.append((self._spent_ms() - before, self.names[command[1]]))
        return answer

    def _spent_ms(self) -> float:
        return main_thread_ns(self.pid) / 1_000_000


@dataclass
class Bench:
    """One Valkey for all cases."""

    server: ValkeyServer

    async def measure(self, wanted: Case) -> Measured:
        """Run one case in an empty server."""
        self.server.flush()
        client = TimedClient(self.server)
        await client.load_scripts()
        shard = await Shard.of(client, f"worst-{uuid.uuid4().hex[:6]}").open()
        act = await wanted.prepare(shard)
        client.timed.clear()
        watch, began = LoopWatch(), time.perf_counter()
        async with watch.watching():
            await act()
        total = (time.perf_counter() - began) * 1000
        await client.close()
        longest, script = max(client.timed, default=(0.0, ""))
        return Measured(longest, script, len(client.timed), watch.longest_ms, total)


def _table(found: dict[str, Measured], before: dict[str, Measured]) -> str:
    head = ["path", "worst input", "longest call before", "after", "loop held before", "after"]
    body = []
    for each in CASES:
        if after := found.get(each.name):
            then = before.get(each.name)
            lua = f"{then.lua_ms:,.1f} ms" if then else "not measured"
            loop = f"{then.loop_ms:,.0f} ms" if then else "not measured"
            called = f"{after.lua_ms:,.1f} ms ({after.script})"
            body.append(
                [f"`{each.path}`", each.worst, lua, called, loop, f"{after.loop_ms:,.0f} ms"]
            )
    return markdown(head, body, left=len(head))


async def _run(bench: Bench, only: Sequence[str], attempts: int) -> dict[str, Measured]:
    """The best attempt counts: a busy machine adds to the cost of a call."""
    found = {}
    for each in CASES:
        if each.name in only:
            best = await bench.measure(each)
            for _ in range(attempts - 1):
                if best.lua_ms > LUA_BUDGET_MS:
                    best = min(best, await bench.measure(each))
            found[each.name] = best
            print(f"{each.name:20} {best}", file=sys.stderr, flush=True)  # noqa: T201
    return found


def _read(file: Path) -> dict[str, Measured]:
    if not file.exists():
        return {}
    return {name: Measured(*row) for name, row in json.loads(file.read_text()).items()}


def main() -> int:
    """Measure, print the table; 1 if a call to Redis exceeds its budget."""
    parser = argparse.ArgumentParser(prog="bench.worst")
    parser.add_argument("--only", default="", help="names of cases, with commas between")
    parser.add_argument(
        "--attempts", type=int, default=3, help="measure a case over the budget so often"
    )
    parser.add_argument("--write", type=Path, help="a JSON file for the figures")
    parser.add_argument("--before", type=Path, default=BEFORE, help="a JSON file to compare with")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = ValkeyServer(Path(directory))
        server.start()
        try:
            only = listed([each.name for each in CASES], args.only)
            found = asyncio.run(_run(Bench(server), only, args.attempts))
        finally:
            server.stop()
    if args.write:
        known = _read(args.write)
        args.write.write_text(json.dumps({**known, **found}, indent=1) + "\n")
    say(_table(found, _read(args.before)))
    over = [each for each in found.values() if each.lua_ms > LUA_BUDGET_MS]
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
