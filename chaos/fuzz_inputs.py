"""Hypothesis strategies of requests and records that are almost right.

A batch is one Hypothesis example, and an input is one of some hundred in it: so what an example
costs is shared, and a failure shrinks to the inputs that it takes, each as simple as it can be.
"""

from __future__ import annotations

import itertools
import json
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from hypothesis.strategies import sampled_from as one

from chaos.fuzz_doors import HEADER, LARGE, WRONG
from chaos.fuzz_mutations import mutated
from tests.client.contract import (
    Backoff,
    CommandRequest,
    Data,
    DeleteRequest,
    FieldFilter,
    Job,
    JobDone,
    JobFailed,
    JobFilter,
    JobList,
    JobReadRequest,
    payload,
)
from tests.client.grpc_client import COMMAND, HEALTH, JOBS, REFLECTION

Headers = tuple[tuple[bytes, bytes | None], ...]

JOBS_TOPIC, COMMANDS_TOPIC = "jobs", "commands"
FAR = "2999-01-01T00:00:00.000Z"
TAG = "#batch#"
"""Stands in the ids of jobs for the number of the batch."""
LISTS = 24
"""Of a batch. Hypothesis makes lists of five, and removes from a list whatever it can."""
OTHER_KEYS = one((None, b"", b"queuedJob", b"jobsCreated", b"CREATEJOBS", b"createJobs ", b"\xff"))
TRACES = ((b"traceparent", b"x" * 20), (b"tracestate", b"x" * 20))
HEADERS = one(
    (
        (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        (b"traceparent", b"\xff\0"),
        (b"tracestate", b"a=" + b"x" * 600),
        (b"occurrence-id", b"a/1/99999999999999999999999/1"),
        (b"occurrence-id", b"\xff/x"),
        (b"occurrence-id", None),
        (b"event-id-of-mine", b""),
        (b"", b""),
    )
)
NO_UTF_8 = (b"\xff\xfe", b"no UTF-8")
"""A header that once ended the process, at each start again."""
NO_COMMANDS = (b"", b"null", b"[]", b"7", b'{"a": 1', b"e30=", b"\xef\xbb\xbf{}")
SERVICES = (b'{"service": 7}', b'{"service": "\\ud800"}', b'{"service": "nope"}')
RESTORES = (
    b'{"jobs": {"offset": -1}}',
    b'{"jobs": {"offset": NaN}}',
    b'{"jobs": {"offset": 1e999, "ignore_offset": {}}}',
    b'{"topics": [{"topic": 1}, null]}',
    b'{"jobs": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"jobs": {"offset": ' + b"9" * 5000 + b"}}",
)
JSON_TEXTS = one((b"{}", b"{}", *NO_COMMANDS, *SERVICES, *RESTORES))

# --- Valid messages -----------------------------------------------------------------------------

# A draw costs about a hundredth of an input, so a whole trigger is one draw.
LATER = ({"when": FAR}, {"interval": "1 day"}, {"interval": "0 0 1 1 *"})
SOON = ({"now": True}, {"interval": "2 seconds"}, {"when": "in 1 second"})
TRIGGERS = one([Job(**each) for each in (*LATER * 9, *SOON)])
"""Most jobs do not run while the campaign lasts."""
DATA = [
    Data(timezone=timezone, creator=creator, payload=[payload(raw, "u")])
    for timezone in ("", "UTC", "Europe/Berlin")
    for creator in ("ann", "bob")
    for raw in (b"", b"\0\xff\x7f", b"some forty bytes of a caller, any at all")
]
BACKOFFS = [Backoff(delay=delay, type=kind) for delay in (0.0, 50.0) for kind in (0, 1)]
TEMPLATES = one(
    [
        Job(type=t, data=data, priority=p, attempts=a, backoff=backoff, parallel=n)
        for t, data, p, a, backoff, n in itertools.product(
            ("red", "green", "blue"), DATA, (0, 10, -5, -10, -15), (0, 1, 2), BACKOFFS, (0, 0, 3)
        )
    ]
)
NUMBERS = one(range(100))
IDS = NUMBERS.map(lambda number: f"{TAG}-{number}-0")
INSTANCES = one(range(1, 20_001))


def _jobs(number: int, template: Any, *triggers: Any) -> Any:
    """A job for each trigger; those that run at once have no ids."""
    jobs = JobList(items=[template] * len(triggers))
    for place, (job, trigger) in enumerate(zip(jobs.items, triggers, strict=True)):
        job.MergeFrom(trigger)
        job.id = "" if job.now else f"{TAG}-{number}-{place}"
    return jobs


JOB_LISTS = st.builds(_jobs, NUMBERS, TEMPLATES, TRIGGERS) | st.builds(
    _jobs, NUMBERS, TEMPLATES, TRIGGERS, TRIGGERS, TRIGGERS
)
DELETES = st.builds(DeleteRequest, ids=st.lists(IDS, min_size=1, max_size=3))
READS = st.builds(
    JobReadRequest,
    limit=one((1, 5)),
    sort=one((0, 1, 2)),
    field=one([[FieldFilter(name=name, include=True)] for name in ("id", "data.payload")]),
    filter=st.builds(JobFilter, creator=one(("ann", "")), jobs_ids=st.lists(IDS, max_size=3)),
)
COMMAND_REQUESTS = st.builds(
    CommandRequest,
    name=one(("health_check", "version", "restore", "")),
    payload=st.builds(payload, JSON_TEXTS),
)
DONE = st.builds(JobDone, id=INSTANCES, schedule_type=st.just("ONCE"))
FAILED = st.builds(JobFailed, id=INSTANCES, error=st.just("boom"), schedule_type=st.just("ONCE"))


class Kind(NamedTuple):
    """A method or an event, and how often it is sent in a hundred inputs or so."""

    name: str
    """The path of the method, or the key of the record."""
    topic: str
    """Empty: a call."""
    messages: SearchStrategy[Any]
    weight: int


KINDS = (
    Kind(JOBS + "Create", "", JOB_LISTS, 11),
    Kind(JOBS + "Update", "", JOB_LISTS, 6),
    Kind(JOBS + "Upsert", "", JOB_LISTS, 6),
    Kind(JOBS + "Delete", "", DELETES, 6),
    Kind(JOBS + "Read", "", READS, 4),
    Kind(COMMAND, "", COMMAND_REQUESTS, 6),
    Kind(HEALTH, "", one((HealthCheckRequest(), HealthCheckRequest(service="x"))), 1),
    Kind(REFLECTION, "", st.just(ServerReflectionRequest(list_services="")), 1),
    Kind("createJobs", JOBS_TOPIC, JOB_LISTS, 10),
    Kind("modifyJobs", JOBS_TOPIC, JOB_LISTS, 10),
    Kind("deleteJobs", JOBS_TOPIC, DELETES, 10),
    Kind("jobDone", JOBS_TOPIC, DONE, 10),
    Kind("jobFailed", JOBS_TOPIC, FAILED, 10),
    Kind("healthCheckCommand", COMMANDS_TOPIC, COMMAND_REQUESTS, 2),
    Kind("versionCommand", COMMANDS_TOPIC, COMMAND_REQUESTS, 2),
    Kind("restoreCommand", COMMANDS_TOPIC, COMMAND_REQUESTS, 2),
    Kind("resetCommand", COMMANDS_TOPIC, COMMAND_REQUESTS, 2),
)
EVENTS = {kind.name.encode(): kind.topic for kind in KINDS if kind.topic}


# --- Inputs -------------------------------------------------------------------------------------


class Input(NamedTuple):
    """A call of `path`, or a record of `topic`."""

    path: str
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    mutations: tuple[str, ...]
    """Names of its mutations; none: it is well formed."""

    def of_batch(self, tag: str) -> Input:
        """With ids that no other batch has; `tag` is as long as TAG."""
        value = self.value and self.value.replace(TAG.encode(), tag.encode())
        return self._replace(value=value)

    @property
    def is_shut_out(self) -> bool:
        """Whether a call has credentials that are wrong, or too large. Health needs none."""
        wrong = any(value in SHUT_OUT for _, value in self.headers)
        return bool(self.path) and wrong and self.path != HEALTH


@st.composite
def _input(draw: DrawFn) -> Input:
    kind = draw(_WEIGHTED)
    valid = draw(kind.messages).SerializeToString()
    value, done = mutated(draw, valid, lambda: bytes(draw(_MESSAGES).SerializeToString()))
    if not kind.topic:
        return Input(kind.name, "", None, value, draw(CALL_HEADERS), done)
    key: bytes | None = kind.name.encode()
    sent: bytes | None = value
    odd = draw(ODDITIES)
    if odd == "key":
        key, done = draw(OTHER_KEYS), (*done, odd)
    elif odd == "null":
        sent, done = None, (*done, odd)
    headers = draw(st.lists(HEADERS, min_size=1, max_size=5)) if odd == "headers" else []
    if odd == "name":
        headers = [NO_UTF_8] * 2
    return Input("", kind.topic, key, sent, tuple(headers), done)


ODDITIES = one((*[""] * 28, *["headers"] * 20, *["key"] * 3, "null", "name"))
RIGHT_HEADERS = ((), TRACES)
WRONG_HEADERS = [((HEADER, each),) for each in WRONG] + [(each,) for each in LARGE]
CALL_HEADERS = one((*RIGHT_HEADERS * 150, *WRONG_HEADERS))
SHUT_OUT = {*WRONG, *(value for _, value in LARGE)}
"""Values of headers with which no call is done."""
_WEIGHTED = one([kind for kind in KINDS for _ in range(kind.weight)])
_MESSAGES = st.one_of([kind.messages for kind in KINDS])


def _sweeps(made: Input) -> bool:
    """Whether it would delete everything, or restore it: that is done between the rounds."""
    value = made.value or b""
    try:
        if made.path == COMMAND or made.topic == COMMANDS_TOPIC:
            request = CommandRequest.FromString(value)
            return request.name == "reset" or (
                request.name == "restore" and _may_restore(request.payload.value)
            )
        if made.path == JOBS + "Delete" or made.key == b"deleteJobs":
            return bool(DeleteRequest.FromString(value).collection)
    except DecodeError:
        pass
    return False


def _may_restore(raw: bytes) -> bool:
    """Whether it may read all of jobs.resource, which is not tried here."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("jobs"), dict)


INPUTS = _input().filter(lambda made: not _sweeps(made))


class Batch(tuple[Input, ...]):
    """Inputs that are sent at once. They would take 60 kB to print."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} inputs>"


@st.composite
def _batch(draw: DrawFn) -> Batch:
    return Batch(itertools.chain.from_iterable(draw(_LISTS)))


_LISTS = st.tuples(*[st.lists(INPUTS)] * LISTS)
BATCHES = _batch()
