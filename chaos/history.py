"""The calls of clients, their answers, and the final topics: one JSONL file a campaign.

Every line is an object with a `kind`. A campaign that was cut short leaves a file that can be
read up to its last whole line. Instants are epoch milliseconds of the campaign's host.
"""

from __future__ import annotations

import base64
import json
import threading
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

OK, REFUSED, UNKNOWN = "ok", "refused", "unknown"
"""Outcomes of calls: answered, answered that nothing was done, not known."""

NOW, WHEN, INTERVAL, CRON = "now", "when", "interval", "cron"
METRONOME = "metronome"
"""How the types of metronomes begin."""
GRPC, KAFKA = "grpc", "kafka"
CREATE, UPDATE, UPSERT = "create", "update", "upsert"
DELETE, DELETE_ALL, READ = "delete", "delete_all", "read"
WRITES = (CREATE, UPDATE, UPSERT)
V1 = "v1-"
"""Kinds of lines about jobs of scheduling.v1 begin with it."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One version of a job, as a client asked for it. The `tag` is unique, and in its payload."""

    tag: str
    trigger: str
    type: str = "t"
    id: str = ""
    """Empty: the service chooses."""
    due: int = 0
    period: int = 0
    cron: str = ""
    timezone: str = ""
    priority: int = 0
    attempts: int = 0
    backoff: int = 0
    exponential: bool = False
    parallel: int = 0
    creator: str = "chaos"
    large: int = 0
    """Bytes of padding in its data."""

    @property
    def schedule(self) -> tuple[object, ...]:
        """The fields that decide whether a recurring job keeps its phase (docs/contract.md)."""
        return self.trigger, self.period, self.cron, self.timezone or "UTC"

    @property
    def recurs(self) -> bool:
        """Whether it runs until it is told not to."""
        return self.trigger in (INTERVAL, CRON)


@dataclass(slots=True)
class Call:
    """A call over gRPC, or an event that was sent to Kafka."""

    number: int
    op: str
    via: str
    begun: int
    jobs: tuple[Ask, ...] = ()
    ids: tuple[str, ...] = ()
    ended: int | None = None
    outcome: str = UNKNOWN
    code: str = ""
    answered: tuple[str, ...] = ()
    """Ids in the answer; of a Read, those that it showed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as it lay on a topic at the end."""

    topic: str
    """jobs, resources, commands or dead_letter."""
    offset: int
    at: int
    key: str
    value: bytes
    headers: dict[str, str]
    committed: bool = True
    """False: only a read_uncommitted consumer saw it."""
    partition: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that was done to the service or its servers."""

    name: str
    target: str
    begun: int
    ended: int
    healed: int = 0
    """When what was broken had been started again; 0: nothing had to be."""


@dataclass(frozen=True, slots=True)
class Said:
    """The health that a replica reported, until it reported another one."""

    at: int
    replica: str
    serving: bool
    """False also if it did not answer."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the replicas that the checker needs."""

    completion_timeout: int = 3_600_000
    max_backoff: int = 86_400_000
    catch_up_window: int = 60_000
    skew: int = 0
    """The most by which a replica's clock differs from the host's."""
    delivery: str = "exactly_once"
    """With `at_least_once` a run may be there again: the same run, recognisably."""
    shards: int = 1
    """Each type is in one of them; what is in two of them has no order."""

    def shard(self, type_: str) -> int:
        """As docs/decisions/0004 has it."""
        return zlib.crc32(type_.encode()) % self.shards


@dataclass(frozen=True, slots=True)
class Quiet:
    """The end: faults and load were over, and the service had had its time."""

    settled: int
    """Every recurring job that lived then has had its time to run all that was due until then."""
    complete: int
    """All that was due by then has had its time to run, retries and time-outs included."""
    living: tuple[str, ...]
    """The result of Read after that."""


@dataclass(slots=True)
class History:
    """All of it."""

    settings: Settings = field(default_factory=Settings)
    seed: int = 0
    calls: list[Call] = field(default_factory=list)
    records: list[Seen] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    health: list[Said] = field(default_factory=list)
    """Changes only."""
    sent: int = 0
    """Answers that workers sent."""
    arrived: dict[int, int] = field(default_factory=dict)
    """Epoch ms at which Kafka had acknowledged an answer, by its offset."""
    readable: dict[int, int] = field(default_factory=dict)
    """Epoch ms at which a run was read before its time, committed or not, by its offset."""
    quiet: Quiet | None = None
    troubles: list[str] = field(default_factory=list)
    """Faults that the campaign found: a replica that ended, or a service that stayed down."""
    v1: list[dict[str, Any]] = field(default_factory=list)
    """Lines about jobs of scheduling.v1, for `chaos.v1.model`."""
    keys_left: list[str] | None = None
    """Keys in Redis when all jobs were deleted and all runs answered. None: not counted."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """From the file."""
        history = cls()
        open_calls: dict[int, Call] = {}
        with path.open() as file:
            for line in _whole(file):
                history._add(json.loads(line), open_calls)
        return history

    def _add(self, line: dict[str, Any], open_calls: dict[int, Call]) -> None:
        match line.pop("kind"):
            case "campaign":
                self.seed, self.settings = line["seed"], Settings(**line["settings"])
            case "call":
                call = _call(line)
                open_calls[call.number] = call
                self.calls.append(call)
            case "told":
                call = open_calls.pop(line["number"])
                call.ended, call.outcome, call.code = line["at"], line["outcome"], line["code"]
                call.answered = tuple(line.get("answered", ()))
            case "record":
                line["value"] = base64.b64decode(line["value"])
                self.records.append(Seen(**line))
            case "fault":
                self.faults.append(Fault(**line))
            case "health":
                self.health.append(Said(**line))
            case "readable":
                self.readable[line["offset"]] = line["at"]
            case "sent":
                self.sent += 1
                if line["offset"] is not None:
                    self.arrived[line["offset"]] = line["at"]
            case _ as kind:
                self._add_end(kind, line)

    def _add_end(self, kind: str, line: dict[str, Any]) -> None:
        if kind.startswith(V1):
            self.v1.append({"kind": kind, **line})
            return
        match kind:
            case "quiet":
                self.quiet = Quiet(line["settled"], line["complete"], tuple(line["living"]))
            case "trouble":
                self.troubles.append(line["text"])
            case "left":
                self.keys_left = line["keys"]
            case _:
                pass  # a newer campaign may note more


def _whole(file: Iterable[str]) -> Iterator[str]:
    return (line for line in file if line.endswith("\n"))


def _call(line: dict[str, Any]) -> Call:
    jobs = tuple(Ask(**job) for job in line.pop("jobs", ()))
    return Call(jobs=jobs, ids=tuple(line.pop("ids", ())), **line)


class Recorder:
    """Writes the file; any thread may call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._numbers = 0
        self._file = path.open("w")

    def close(self) -> None:
        """Nothing is written after that."""
        with self._lock:
            self._file.close()

    def write(self, kind: str, **fields: object) -> None:
        """One line."""
        line = json.dumps({"kind": kind, **fields}, separators=(",", ":"))
        with self._lock:
            if not self._file.closed:
                self._file.write(line + "\n")

    def campaign(self, seed: int, settings: Settings, **about: object) -> None:
        """The first line."""
        self.write("campaign", seed=seed, settings=asdict(settings), **about)

    def call(
        self, op: str, via: str, begun: int, *, jobs: Iterable[Ask] = (), ids: Iterable[str] = ()
    ) -> int:
        """A call begins; the number is for `told`."""
        with self._lock:
            self._numbers += 1
            number = self._numbers
        asks = [_without_defaults(job) for job in jobs]
        self.write("call", number=number, op=op, via=via, begun=begun, jobs=asks, ids=list(ids))
        return number

    def told(
        self, number: int, at: int, outcome: str, code: str = "", answered: Iterable[str] = ()
    ) -> None:
        """How the call ended."""
        ids = {"answered": list(answered)} if answered else {}
        self.write("told", number=number, at=at, outcome=outcome, code=code, **ids)

    def record(self, record: Seen) -> None:
        """A record on a topic."""
        line = asdict(record)
        line["value"] = base64.b64encode(record.value).decode()
        self.write("record", **line)

    def fault(self, fault: Fault) -> None:
        """A fault that is over."""
        self.write("fault", **asdict(fault))

    def health(self, at: int, replica: str, *, serving: bool) -> None:
        """A replica says something else than before."""
        self.write("health", at=at, replica=replica, serving=serving)

    def quiet(self, quiet: Quiet) -> None:
        """The end."""
        self.write("quiet", **asdict(quiet))


def _without_defaults(ask: Ask) -> dict[str, object]:
    empty = asdict(Ask("", ""))
    return {
        name: value
        for name, value in asdict(ask).items()
        if name in ("tag", "trigger") or value != empty[name]
    }
