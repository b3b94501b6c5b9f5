"""A shard in a real Valkey, driven as its owner and callers would, by a clock the test holds."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.errors import Unparsable
from scheduling_client.wire import job_pb2
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.adapters.redis.jobs import RedisJobStore, RedisRestores
from scheduling_srv.adapters.redis.runs import RedisRuns
from scheduling_srv.adapters.redis.schedule import RedisSchedule
from scheduling_srv.app.announcements import Announcements
from scheduling_srv.app.owner.planner import Planner
from scheduling_srv.app.ports import Receipt, Source, WriteGroup, WriteMode, Written
from scheduling_srv.app.replies import Cursor, Span, Taken
from scheduling_srv.app.shard_rules import ShardRules
from scheduling_srv.app.sharding.shard_ports import ShardPorts
from scheduling_srv.app.sharding.sharded_store import ShardedStore
from scheduling_srv.domain.backoff import BackoffType
from scheduling_srv.domain.job import Answer, JobRequest, NewJob, Priority, Trigger, TriggerKind
from scheduling_srv.domain.properties import Properties
from scheduling_srv.formats.job_record import KIND_AT, Note, pack, pack_properties
from scheduling_srv.formats.position_record import Position
from scheduling_srv.formats.positions import InputPosition
from scheduling_srv.formats.versions import READS

NOW = 1_700_000_000_000
"""A Tuesday, 22:13:20 UTC."""
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
PARTITION = "jobs:0"
ANY = 10**6
HISTORY = set(
    "history ended ended_once failed_once records records_order tallies minutes errors"
    " failed_types told outages owners pauses farewells".split()
)
"""Keys that outlive what they tell of: they have bounds of their own."""

# Written down from docs/decisions/0001 and formats/layouts.py, not shared with the product.
_QUEUED = struct.Struct("<cBIQIQHHHI")


def one_shard(
    store: Any,
    clock: Any,
    announcements: Announcements | None = None,
    *,
    lists: Any = None,
    wait: bool = True,
) -> ShardedStore:
    """All shards there are: one, which does everything with `store`."""
    ports = ShardPorts(store, store, store, announcements or Announcements(), lists)
    return ShardedStore([ports], clock, wait_for_announcement=wait)


class Run(NamedTuple):
    """A queued entry."""

    id: str
    instance: int
    nominal: int
    attempt: int
    seq: int
    kind: int

    @property
    def brief(self) -> tuple[str, int]:
        """Which job, and for when, relative to `NOW`."""
        return self.id, self.nominal - NOW


def as_run(entry: bytes) -> Run:
    _, kind, instance, nominal, attempt, seq, id_size, *_ = _QUEUED.unpack_from(entry)
    job_id = entry[_QUEUED.size : _QUEUED.size + id_size].decode()
    return Run(job_id, instance, nominal, attempt, seq, kind)


def runs_in(entries: Iterable[bytes]) -> list[Run]:
    return [as_run(entry) for entry in entries if entry[:1] in {b"Q", b"q"}]


def job(
    job_id: str,
    kind: TriggerKind,
    due: int,
    *,
    type: str = "t",  # noqa: A002 - the field's name
    interval: int = 0,
    cron: str = "",
    timezone: str = "UTC",
    creator: str = "",
    priority: Priority = Priority.NORMAL,
    parallel: int = 0,
    attempts: int = 0,
    backoff: BackoffType = BackoffType.FIXED,
    delay: float = 0,
    trace: bytes = b"",
    notes: Note = Note.NONE,
    when: str | None = None,
    payload: bytes | int = b"",  # a number: so many bytes
    properties: Properties | None = None,
    spec: bytes = b"",
    revision: int = 1,
    created: int | None = NOW,
) -> NewJob:
    """`when`: how the client wrote it, if not as RFC 3339. `created` None: of version 1."""
    rest = job_pb2.Job(
        when=when or (rfc3339(due) if kind is TriggerKind.ONCE else ""),
        priority=priority.value,  # type: ignore[arg-type]
        attempts=attempts,
        parallel=parallel,
        interval=cron or (f"{interval} milliseconds" if interval else ""),
        backoff=job_pb2.Backoff(delay=delay, type=backoff.value),  # type: ignore[arg-type]
    )
    data = job_pb2.Data(timezone=timezone, creator=creator)
    if payload:
        data.payload.add(value=b"x" * payload if isinstance(payload, int) else payload)
    request = JobRequest(
        id=job_id,
        type=type,
        timezone=timezone,
        creator=creator,
        data=data.SerializeToString(),
        rest=rest.SerializeToString(),
        priority=priority,
        attempts=attempts,
        backoff_type=backoff,
        backoff_delay=delay,
        parallel=parallel,
        interval=rest.interval,
        trace=trace,
        properties=properties,
        spec=spec,
        revision=revision,
    )
    shape = fingerprint(cron) if cron else interval
    more = pack_properties(request, created or NOW)
    return NewJob(job_id, due, pack(request, Trigger(kind, due, shape), notes, created, more))


_HEADER, _SMALL_HEADER = struct.Struct("<6sBBHIHI"), struct.Struct("<6sBBBHBH")
"""Of versions 0 to 2, and of version 3."""
BIRTH = 6
"""Bytes of the creation time behind the header, since version 2."""
NEWEST = 3


def _sizes(version: int) -> tuple[struct.Struct, int]:
    """The header, and the size of all that stands before the policy."""
    layout = _SMALL_HEADER if version == NEWEST else _HEADER
    return layout, layout.size + (BIRTH if version >= 2 else 0)


def of_version(record: bytes, version: int) -> bytes:
    """The record as that version would have written it: as ours, if it is a later one.

    Of version 3 are small records only; others stay as they are.
    """
    ours = record[KIND_AT] >> 4 & 0b111
    if version == NEWEST:
        return record
    if version < NEWEST:
        record = _with_header(record, ours, version)
    byte = record[KIND_AT] & 0b1000_1111 | version << 4
    return record[:KIND_AT] + bytes((byte,)) + record[KIND_AT + 1 :]


def _with_header(record: bytes, ours: int, version: int) -> bytes:
    (before, size), (after, wanted) = _sizes(ours), _sizes(version)
    *head, creator_at = before.unpack_from(record)
    moved = creator_at + wanted - size if creator_at else 0
    birth = record[before.size : size] if version >= 2 else b""
    return after.pack(*head, moved) + birth + record[size:]


def rfc3339(instant: int) -> str:
    return datetime.fromtimestamp(instant / 1000, UTC).isoformat(timespec="milliseconds")


def fingerprint(cron: str) -> int:
    """As a version that did not understand the text would have stored it: none."""
    try:
        return Cron.parse(cron).fingerprint
    except Unparsable:
        return 0


def once(job_id: str, due: int = NOW, **more: Any) -> NewJob:
    return job(job_id, TriggerKind.ONCE, due, **more)


def at_once(job_id: str, due: int = NOW, **more: Any) -> NewJob:
    return job(job_id, TriggerKind.NOW, due, **more)


def every(job_id: str, interval: int, due: int | None = None, **more: Any) -> NewJob:
    first = NOW + interval if due is None else due
    return job(job_id, TriggerKind.INTERVAL, first, interval=interval, **more)


def cron(job_id: str, expression: str, due: int, **more: Any) -> NewJob:
    return job(job_id, TriggerKind.CRON, due, cron=expression, **more)


@dataclass
class Shard:
    """One shard, ready, owned by this test."""

    client: RedisClient
    namespace: str
    jobs: RedisJobStore
    schedule: RedisSchedule
    restores: RedisRestores
    runs: RedisRuns
    token: str = ""
    incarnation: str = "first"
    lineage: str = ""
    seen: int = 0
    """Number of the last entry that the test has looked at."""
    offset: int = 0
    """Of the next consumed record."""

    @classmethod
    def of(cls, client: RedisClient, namespace: str, *, number: int = 0) -> "Shard":
        rules = ShardRules(lease=HOUR)
        return cls(
            client,
            namespace,
            RedisJobStore(
                client,
                namespace,
                number,
                client_id=namespace,
                max_backoff=rules.max_backoff,
                outbox_limit=rules.outbox_limit,
            ),
            RedisSchedule(client, namespace, number, rules),
            RedisRestores(client, namespace, number),
            RedisRuns(client, namespace, number, timeout=rules.completion_timeout),
        )

    async def open(self, format: int = READS) -> "Shard":  # noqa: A002 - the field's name
        await self.own()
        position = Position(0, self.incarnation, at=NOW, format=format)
        self.lineage = await self.schedule.initialise(self.token, position, NOW)
        await self.entries()
        return self

    async def own(self, owner: str = "test") -> str:
        token = await self.schedule.acquire(owner)
        assert token
        self.token = token
        return token

    def rule(self, **changes: Any) -> None:
        self.schedule.rules = replace(self.schedule.rules, **changes)

    # --- What callers do --------------------------------------------------------------------

    async def write(
        self, mode: WriteMode, *jobs: NewJob, now: int = NOW, source: Source | None = None
    ) -> Written:
        group = WriteGroup(mode, jobs, named=[job.id for job in jobs])
        return await self.jobs.write([group], now, source)

    async def create(self, *jobs: NewJob, now: int = NOW) -> Receipt:
        return self._all_written(await self.write(WriteMode.CREATE, *jobs, now=now))

    async def update(self, *jobs: NewJob, now: int = NOW) -> Receipt:
        return self._all_written(await self.write(WriteMode.UPDATE, *jobs, now=now))

    async def upsert(self, *jobs: NewJob, now: int = NOW) -> Receipt:
        return self._all_written(await self.write(WriteMode.UPSERT, *jobs, now=now))

    def _all_written(self, written: Written) -> Receipt:
        assert not any(written.refusals)
        return written.receipt

    async def delete(self, *ids: str, now: int = NOW) -> Receipt:
        receipt, done = await self.jobs.delete(ids, now)
        assert done == len(ids)
        return receipt

    async def clear(self, now: int = NOW) -> Receipt:
        """Delete every resource."""
        return await self.jobs.clear(now, announced=True)

    async def reset(self, now: int = NOW) -> Receipt:
        """Delete everything, without a word."""
        return await self.jobs.clear(now, announced=False)

    def source(self, first: int, last: int | None = None, partition: str = PARTITION) -> Source:
        behind = first + 1 if last is None else last + 1
        return Source(partition, first, behind, self.lineage)

    async def answer(self, *answers: Answer, now: int = NOW) -> int:
        """How many belonged to a run. Each call is the next record of its partition."""
        source = self.source(self.offset)
        self.offset += 1
        answered = await self.jobs.complete(answers, now, source)
        assert answered.looked_at == len(answers)
        return answered.known

    async def done(self, *runs: Run | int, now: int = NOW) -> int:
        return await self.answer(*_answers(runs, failed=False), now=now)

    async def fail(self, *runs: Run | int, now: int = NOW) -> int:
        return await self.answer(*_answers(runs, failed=True), now=now)

    # --- What the owner does ----------------------------------------------------------------

    async def stage(self, now: int = NOW, limit: int = 500) -> list[Run]:
        """The runs of one staging call, in their order."""
        await self.entries()
        await self.schedule.stage(self.token, now, limit)
        return runs_in(await self.entries())

    async def plan(self) -> int:
        planner = Planner(schedule=self.schedule, rules=self.schedule.rules)
        planner.begun = True  # what was set aside stays there
        return await planner.run_once(self.token)

    async def drain_once(self, now: int) -> list[Run]:
        """One staging call that leaves no cron job unplanned."""
        await self.plan()
        runs = await self.stage(now)
        await self.plan()
        return runs

    async def forget_runs(self, now: int) -> None:
        """Answers everything, as a partition of its own."""
        lineage, positions = await self.jobs.positions()
        stored = positions.get("all:0", InputPosition(0)).next
        source = Source("all:0", stored, stored + 1, lineage)
        instances = await self.raw("HKEYS", "runs")
        await self.jobs.complete([Answer(int(each), False) for each in instances], now, source)

    async def drain(self, now: int = NOW, limit: int = 500) -> list[Run]:
        """Stages and plans, as the owner does, until nothing is due any more."""
        runs = []
        while True:
            staged = await self.schedule.stage(self.token, now, limit)
            runs += runs_in(await self.entries())
            if staged.unplanned:
                await self.plan()
            elif staged.next_due is None or staged.next_due > now:
                return runs

    async def take(self, published: int, ahead: int = 0, now: int = NOW) -> Taken:
        cursor = Cursor(published, self.lineage, ahead)
        return await self.schedule.take(self.token, cursor, now)

    async def put_back(
        self, jobs: Sequence[NewJob], removed: Sequence[str], last: int, *, number: str = "1"
    ) -> bool:
        span = Span(NOW, last)
        return await self.restores.put_back(self.token, number, jobs, removed, span)

    async def publish(self, now: int = NOW) -> list[bytes]:
        """All entries that were not published before; now they are."""
        published = (await self.schedule.state()).trimmed
        entries: list[bytes] = []
        while True:
            taken = await self.take(published, now=now)
            entries += taken.entries
            published = taken.after + len(taken.entries)
            if not taken.entries:
                self.seen = published
                return entries

    # --- What the test looks at -------------------------------------------------------------

    async def entries(self) -> list[bytes]:
        """The entries of the outbox since the last look."""
        tail, trimmed = [
            int(text or 0) for text in await self.raw("HMGET", "meta", "tail", "trimmed")
        ]
        seen, self.seen = max(self.seen, trimmed), tail
        found: list[bytes] = await self.raw("LRANGE", "outbox", seen - trimmed, -1)
        return found

    async def tail(self) -> int:
        """The number of the last entry of the outbox."""
        return int(await self.raw("HGET", "meta", "tail") or 0)

    async def raw(self, command: str, key: str, *args: str | int | bytes) -> Any:
        return await self.client.execute(command, self.jobs.base + key, *args)

    async def ids(self) -> list[str]:
        """The resources in order of creation."""
        found, cursor = list[str](), ""
        while True:
            page = await self.jobs.page("", descending=False, cursor=cursor, limit=ANY)
            found += [each.id.decode() for each in page.jobs]
            cursor = page.cursor
            if not cursor:
                return found

    async def position(self) -> int:
        _, positions = await self.jobs.positions()
        return positions.get(PARTITION, InputPosition(0)).next

    async def keys(self) -> list[str]:
        """Names of the shard's keys, but for those that expire, and those of its history."""
        base = self.jobs.base
        found = []
        cursor: Any = 0
        while True:
            cursor, names = await self.client.execute("SCAN", cursor, "COUNT", 1000)
            found += [name.decode() for name in names if name.startswith(base.encode())]
            if int(cursor) == 0:
                break
        lasting = [name for name in found if await self.client.execute("TTL", name) == -1]
        names = sorted(name.removeprefix(base) for name in lasting)
        return [name for name in names if name.partition(":")[0] not in HISTORY]


def _answers(runs: Sequence[Run | int], *, failed: bool) -> list[Answer]:
    numbers = [run.instance if isinstance(run, Run) else run for run in runs]
    return [Answer(number, failed) for number in numbers]


def briefly(runs: Sequence[Run]) -> list[tuple[str, int]]:
    return [run.brief for run in runs]


def ids_of(runs: Sequence[Run]) -> list[str]:
    return [run.id for run in runs]


def kinds_of(entries: Sequence[bytes]) -> str:
    """The letters of entries, without markers and heads of groups."""
    return "".join(entry[:1].decode() for entry in entries if entry[:1] not in {b"M", b"G"})
