"""What Kafka says of consumer groups, and that it may not say it."""

import struct
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from structlog.testing import capture_logs

from scheduling_srv.adapters.kafka.neighbours import GAP_SECONDS, KafkaNeighbours, assigned_topics
from scheduling_srv.app.deployments.deployment import OLDER, Member, Tag, tagged
from scheduling_srv.domain.errors import LogUnavailable

TAG = Tag("0" * 12, "f" * 12, "host-1-abcdef")
CLIENT = tagged("scheduling-srv", TAG)
OURS: Any = {"group": "ours", "client_id": "scheduling-srv"}
DENIED = KafkaError.GROUP_AUTHORIZATION_FAILED


def assignment(*topics: str, version: int = 0) -> bytes:
    """As ConsumerProtocolAssignment.json of Kafka says; each topic has two partitions."""
    parts = [struct.pack(">hi", version, len(topics))]
    for topic in topics:
        name = topic.encode()
        parts.append(struct.pack(f">h{len(name)}siii", len(name), name, 2, 0, 1))
    return b"".join(parts) + struct.pack(">i", -1)  # no user data


def group(
    name: str,
    *clients: str,
    topics: Sequence[str] = ("jobs",),
    state: str = "Stable",
    error: int | None = None,
) -> SimpleNamespace:
    raw = assignment(*topics) if topics else b""
    return SimpleNamespace(
        id=name,
        state=state,
        error=KafkaError(error) if error else None,
        members=[
            SimpleNamespace(client_id=client, client_host="/10.0.0.9", assignment=raw)
            for client in clients
        ],
    )


class Admin:
    """Answers with these groups, or with this error."""

    def __init__(self, *groups: SimpleNamespace, error: int | None = None) -> None:
        self.groups, self.error = groups, error

    def list_groups(self, timeout: float) -> Sequence[SimpleNamespace]:
        assert timeout < 10
        if self.error is not None:
            raise KafkaException(KafkaError(self.error))
        return self.groups


async def found(admin: Any, times: int = 1) -> Sequence[Member] | None:
    neighbours = KafkaNeighbours(lambda: admin, **OURS)
    for _ in range(times - 1):
        await neighbours.members()
    return await neighbours.members()


async def test_members_of_all_groups_are_found() -> None:
    admin = Admin(group("ours", CLIENT, "other"), group("theirs", CLIENT, topics=()), group("x"))
    assert await found(admin) == [
        Member(TAG, "ours", "10.0.0.9", frozenset({"jobs"})),
        Member(TAG, "theirs", "10.0.0.9", frozenset()),
    ]


async def test_a_replica_of_an_older_version_has_our_group_and_our_client_id() -> None:
    admin = Admin(group("ours", "scheduling-srv"), group("theirs", "scheduling-srv"))
    assert await found(admin) == [Member(OLDER, "ours", "10.0.0.9", frozenset({"jobs"}))]


@pytest.mark.parametrize("state", ["Stable", "PreparingRebalance", "CompletingRebalance", ""])
async def test_a_group_is_stable_only_if_kafka_says_so(state: str) -> None:
    """Brokers describe a group that is not stable without its partitions."""
    members = await found(Admin(group("ours", CLIENT, topics=(), state=state)))
    assert members
    assert members[0].stable is (state == "Stable")


@pytest.mark.parametrize("admin", [Admin(error=DENIED), Admin(group("theirs", error=DENIED))])
async def test_what_may_not_be_asked_is_told_once(admin: Admin) -> None:
    with capture_logs() as logs:
        assert not await found(admin, times=3)
    assert [entry["log_level"] for entry in logs] == ["info"]


@pytest.mark.parametrize(
    "code", [KafkaError._TIMED_OUT, KafkaError._PARTIAL, KafkaError._TRANSPORT]
)
async def test_no_answer_is_not_the_answer_that_no_service_lives(code: int) -> None:
    with capture_logs() as logs, pytest.raises(LogUnavailable, match="cannot be"):
        await found(Admin(error=code))
    assert logs == []


async def test_a_broker_that_is_gone_for_long_is_gone_without() -> None:
    """Its groups are with other brokers by then."""
    now = [0.0]
    admin: Any = Admin(error=KafkaError._PARTIAL)
    neighbours = KafkaNeighbours(lambda: admin, **OURS, monotonic=lambda: now[0])
    for now[0] in (0.0, GAP_SECONDS - 1):
        with pytest.raises(LogUnavailable):
            await neighbours.members()
    now[0] = GAP_SECONDS
    assert await neighbours.members() is None
    admin.error = None
    assert await neighbours.members() == []
    admin.error = KafkaError._PARTIAL
    with pytest.raises(LogUnavailable):
        await neighbours.members()


def test_the_topics_of_an_assignment() -> None:
    assert assigned_topics(assignment("jobs", "commands", version=3)) == {"jobs", "commands"}
    assert assigned_topics(assignment()) == frozenset()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00",
        assignment("jobs")[:-17],
        struct.pack(">hi", 0, 2**31 - 1),
        struct.pack(">hih", 0, 2**31 - 1, -2) * 9,
        struct.pack(">hih", 0, 1, 2) + b"\xff\xff" + bytes(4),
    ],
)
def test_other_bytes_are_no_assignment(raw: bytes) -> None:
    """Any member of any group may write there."""
    assert assigned_topics(raw) == frozenset()
