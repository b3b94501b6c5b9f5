"""What Kafka says of consumer groups, and that it may not say it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from structlog.testing import capture_logs

from scheduling_srv.adapters.kafka.neighbours import GAP_SECONDS, PIECE, KafkaNeighbours
from scheduling_srv.app.deployments.deployment import (
    Member,
    Tag,
    tagged,
)
from scheduling_srv.domain.errors import LogUnavailable

TAG = Tag("0" * 12, "f" * 12, "host-1-abcdef")
DENIED = KafkaError.GROUP_AUTHORIZATION_FAILED


def error(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


def answer(value: Any) -> "Future[Any]":
    future: Future[Any] = Future()
    if isinstance(value, int):
        future.set_exception(error(value))
    else:
        future.set_result(value)
    return future


def described(
    *clients: str,
    topics: Sequence[str] = ("jobs",),
    state: ConsumerGroupState = ConsumerGroupState.STABLE,
) -> SimpleNamespace:
    places = [SimpleNamespace(topic=topic) for topic in topics]
    assignment = SimpleNamespace(topic_partitions=places) if topics else None
    return SimpleNamespace(
        state=state,
        members=[
            SimpleNamespace(client_id=client, host="/10.0.0.9", assignment=assignment)
            for client in clients
        ],
    )


class Admin:
    """Groups by name; a number is the error that Kafka answers."""

    def __init__(self, groups: Mapping[str, Any], listed: Any = None) -> None:
        self.groups, self.listed = groups, listed
        self.asked: list[list[str]] = []

    def list_consumer_groups(self, request_timeout: float) -> "Future[Any]":
        assert request_timeout < 5
        if self.listed is not None:
            return answer(self.listed)
        states = ConsumerGroupState
        valid = [
            SimpleNamespace(group_id=name, state=states.STABLE if group else states.EMPTY)
            for name, group in self.groups.items()
        ]
        return answer(SimpleNamespace(valid=valid, errors=[]))

    def describe_consumer_groups(
        self, groups: list[str], request_timeout: float
    ) -> dict[str, "Future[Any]"]:
        assert request_timeout < 5
        self.asked.append(groups)
        return {name: answer(self.groups.get(name) or described()) for name in groups}


async def found(admin: Any, times: int = 1) -> Sequence[Member] | None:
    neighbours = KafkaNeighbours(lambda: admin)
    for _ in range(times - 1):
        await neighbours.members("ours")
    return await neighbours.members("ours")


async def test_members_of_all_groups_are_found() -> None:
    client = tagged("scheduling-srv", TAG)
    admin = Admin({"ours": described(client, "other"), "theirs": described(client, topics=())})
    assert await found(admin) == [
        Member(TAG, "ours", "10.0.0.9", frozenset({"jobs"})),
        Member(TAG, "theirs", "10.0.0.9", frozenset()),
    ]


@pytest.mark.parametrize("state", sorted(ConsumerGroupState, key=str))
async def test_a_group_is_stable_only_if_kafka_says_so(state: ConsumerGroupState) -> None:
    """Brokers describe a group that is not stable without its partitions."""
    client = tagged("scheduling-srv", TAG)
    members = await found(Admin({"ours": described(client, topics=(), state=state)}))
    assert members
    assert members[0].stable is (state is ConsumerGroupState.STABLE)


async def test_groups_are_asked_for_in_pieces_and_only_if_they_have_members() -> None:
    groups = {f"g{number}": described("x") for number in range(PIECE + 1)}
    admin = Admin({"ours": described(), "empty": None, **groups})
    await found(admin)
    assert admin.asked[0] == ["ours"]
    assert [len(piece) for piece in admin.asked[1:]] == [PIECE, 1]


async def test_what_may_not_be_asked_is_unknown_and_told_once() -> None:
    with capture_logs() as logs:
        assert await found(Admin({"ours": DENIED}, listed=DENIED), times=3) is None
    assert [entry["log_level"] for entry in logs] == ["info", "info"]


@pytest.mark.parametrize("code", [KafkaError._TIMED_OUT, KafkaError.COORDINATOR_LOAD_IN_PROGRESS])
async def test_no_answer_is_not_the_answer_that_no_service_lives(code: int) -> None:
    for admin in (
        Admin({"ours": code}),
        Admin({"ours": described()}, listed=code),
        Admin({"ours": described(), "theirs": code}),
        Admin({"ours": described()}, listed=SimpleNamespace(valid=[], errors=[error(code)])),
    ):
        with capture_logs() as logs, pytest.raises(LogUnavailable, match="cannot be"):
            await found(admin)
        assert logs == []


async def test_a_broker_that_is_gone_for_long_is_gone_without() -> None:
    """Its groups are with other brokers by then. Our own group is never gone without."""
    now = [0.0]
    admin: Any = Admin({"ours": described(), "theirs": KafkaError._TRANSPORT})
    neighbours = KafkaNeighbours(lambda: admin, lambda: now[0])
    for now[0] in (0.0, GAP_SECONDS - 1):
        with pytest.raises(LogUnavailable):
            await neighbours.members("ours")
    now[0] = GAP_SECONDS
    assert await neighbours.members("ours") == []
    admin.groups = {"ours": described()}
    assert await neighbours.members("ours") == []
    admin.groups = {"ours": KafkaError._TRANSPORT}
    for now[0] in (100.0, 1_000.0):
        with pytest.raises(LogUnavailable):
            await neighbours.members("ours")


async def test_without_the_right_to_list_its_own_group_is_looked_at() -> None:
    client = tagged("scheduling-srv", TAG)
    members = await found(Admin({"ours": described(client)}, listed=DENIED))
    assert members
    assert [member.tag for member in members] == [TAG]


async def test_a_group_that_does_not_exist_has_no_members() -> None:
    with capture_logs() as logs:
        assert await found(Admin({"ours": KafkaError.GROUP_ID_NOT_FOUND})) == []
    assert logs == []
