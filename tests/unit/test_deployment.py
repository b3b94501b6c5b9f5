"""What a consumer tells Kafka of itself, and where the numbers of a deployment begin."""

import re

import pytest

from scheduling_srv.app.deployments.deployment import (
    RANGE_SIZE,
    Deployment,
    Identity,
    Member,
    Tag,
    first_instance,
    random_id,
    replica_name,
    tag_of,
    tagged,
)

TAG = Tag("0123456789ab", "ba9876543210", "host-1-ffffff")


@pytest.mark.parametrize("client", ["scheduling-srv", "a", "x.d-0123456789ab", "a.n-b"])
@pytest.mark.parametrize("name", ["host-1-ffffff", "a.b.example-7-000000", "a.n-b"])
def test_a_client_id_is_read_as_it_was_written(client: str, name: str) -> None:
    tag = TAG._replace(name=name)
    assert tag_of(tagged(client, tag)) == tag


@pytest.mark.parametrize(
    "client",
    [
        "",
        "scheduling-srv",
        "rdkafka",
        "scheduling-srv.d-0123456789ab.r-ba9876543210",
        "scheduling-srv.d-0123456789ab.r-ba9876543210.n-",
        "scheduling-srv.d-0123456789AB.r-ba9876543210.n-x",
        ".d-0123456789ab.r-ba9876543210.n-x",
    ],
)
def test_other_clients_have_no_tag(client: str) -> None:
    assert tag_of(client) is None


@pytest.mark.parametrize("host", ["web_1", "höst", "a b*c", "x" * 64])
def test_kafka_takes_each_character_of_a_client_id(host: str) -> None:
    name = replica_name(host, 17)
    assert re.fullmatch(r"[a-zA-Z0-9._-]+", tagged("scheduling-srv", TAG._replace(name=name)))
    assert "-17-" in name


def test_two_replicas_of_one_host_differ() -> None:
    assert replica_name("host", 1) != replica_name("host", 1)


def test_a_deployment_begins_in_its_range() -> None:
    assert first_instance("000" + "f" * 9) == 0
    assert first_instance("001" + "0" * 9) == RANGE_SIZE
    assert first_instance("f" * 12) == 4095 * RANGE_SIZE
    assert first_instance("") == 0
    assert all(first_instance(random_id()) % RANGE_SIZE == 0 for _ in range(100))


def test_records_of_versions_without_the_header_are_ours() -> None:
    ours = Deployment("me")
    ours.be(Identity("one", "f"))
    assert not ours.is_foreign(None)
    assert not ours.is_foreign(b"one")
    assert ours.is_foreign(b"two")
    assert ours.is_foreign(b"\xff")


def test_what_it_has_been_stays_ours() -> None:
    ours = Deployment("me")
    ours.be(Identity("one", "f"))
    ours.be(Identity("two", "g"))
    assert not ours.is_foreign(b"one")
    assert ours.headers == [("deployment", b"two")]
    sibling = Member(Tag("one", "f", "x"), "group", "host", frozenset())
    assert not ours.has_another_redis(sibling)
    assert ours.has_another_redis(sibling._replace(tag=Tag("two", "h", "x")))
