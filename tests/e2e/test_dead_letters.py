"""DeadLetterService on real servers: list, show, replay once, hide."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduling_client import Client
from scheduling_client.api import errors
from scheduling_client.api.dead_letters import DeadLetter, LetterFilter
from tests.client import contract
from tests.e2e.lane import lose_store
from tests.e2e.product import Product, fresh
from tests.harness.given import Store
from tests.harness.waiting import eventually

COMMAND = Path(sys.executable).parent / "scheduling"


@pytest.fixture
def client(product: Product) -> Iterator[Client]:
    with Client(product.service.address) as client:
        yield client


def put_aside(product: Product, client: Client, *, headers: dict[str, str] | None = None) -> str:
    """A list that is refused as its id exists; returns the id, which a delete sets free."""
    job = fresh()
    product.client.create(contract.job(id=job, interval="0 5 * * *", type=fresh("type")))
    again = contract.JobList(items=[contract.job(id=job, type="again", interval="0 6 * * *")])
    product.send("createJobs", again, headers=headers or {})
    eventually(lambda: letters_of(client, job) or None, what="the dead letter")
    return job


def letters_of(client: Client, job: str, *, hidden: bool = False) -> list[DeadLetter]:
    where = LetterFilter(include_hidden=hidden)
    return [each for each in client.dead_letters(where) if job in each.message]


def test_a_letter_from_its_reason_to_its_replay(client: Client, product: Product) -> None:
    job = put_aside(product, client, headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    (listed,) = letters_of(client, job)
    assert (listed.topic, listed.event, listed.reason) == (
        product.names.jobs,
        "createJobs",
        "JOB_EXISTS",
    )
    assert listed.value is None
    shown = client.dead_letter(listed.id)
    assert shown.headers["traceparent"].startswith("00-a")
    assert json.loads(shown.decoded)["items"][0]["interval"] == "0 6 * * *"
    assert len(shown.value or b"") == shown.size == listed.size

    product.client.delete(job)
    assert client.replay(listed.id, dry_run=True) == (1, 1)
    assert client.replay(listed.id) == (1, 1)
    eventually(lambda: job in product.ids(), what="the job of the replayed list")
    assert client.get(job).type == "again"
    product.client.delete(job)
    assert client.replay(listed.id) == (1, 0)
    assert letters_of(client, job) == []
    (hidden,) = letters_of(client, job, hidden=True)
    assert hidden.replayed
    product.settle()
    assert job not in product.ids()


def test_all_that_match_are_replayed_once(client: Client, product: Product) -> None:
    jobs = [put_aside(product, client) for _ in range(3)]
    where = LetterFilter(event="createJobs", reason="JOB_EXISTS")
    for job in jobs:
        product.client.delete(job)
    assert client.replay(where=where) == (3, 3)
    eventually(lambda: {*jobs} <= {*product.ids()}, what="the jobs of the replayed lists")
    assert client.replay(where=where) == (0, 0)
    product.client.delete(*jobs)


def test_a_rebuild_knows_what_was_replayed(client: Client, product: Product, valkey: Store) -> None:
    job = put_aside(product, client)
    (letter,) = letters_of(client, job)
    product.client.delete(job)
    assert client.replay(letter.id) == (1, 1)
    eventually(lambda: job in product.ids(), what="the job of the replayed list")
    product.client.delete(job)
    product.settle()
    lose_store(valkey, product.names)

    def is_known() -> bool:
        try:
            return client.replay(letter.id) == (1, 0)
        except errors.Unavailable:
            return False

    eventually(is_known, what="the note after the rebuild")
    product.settle()
    assert job not in product.ids(), "it was replayed once"


def test_hidden_letters_are_not_listed(client: Client, product: Product) -> None:
    job = put_aside(product, client)
    (letter,) = letters_of(client, job)
    assert client.hide(letter.id) == (1, 1)
    assert client.hide(letter.id) == (1, 0)
    assert letters_of(client, job) == []
    assert [each.id for each in letters_of(client, job, hidden=True)] == [letter.id]
    product.client.delete(job)


def test_pages_go_from_the_newest_on(client: Client, product: Product) -> None:
    for _ in range(5):
        product.send("createJobs", b"\x0a\x7f")
    product.settle()
    where = LetterFilter(reason="INVALID_REQUEST")
    found = [each.offset for each in client.dead_letters(where, page_size=2)]
    assert len(found) >= 5
    assert found == sorted(found, reverse=True)


def test_what_cannot_be_replayed_is_told(client: Client, product: Product) -> None:
    with pytest.raises(errors.NotFound, match="no dead letter 0:999999") as missing:
        client.dead_letter("0:999999")
    assert missing.value.reason == "LETTER_NOT_FOUND"
    with pytest.raises(errors.InvalidRequest, match="no id of a dead letter"):
        client.dead_letter("x")
    product.send("createJobs", b"\x0a" + bytes(600_000))
    product.settle()
    (cut,) = [each for each in client.dead_letters() if each.size > 600_000]
    with pytest.raises(errors.FailedPrecondition, match="was cut") as whole:
        client.replay(cut.id)
    assert whole.value.reason == "LETTER_NOT_WHOLE"
    assert client.replay(where=LetterFilter(reason="INVALID_REQUEST")).changed >= 0


def test_the_command(client: Client, product: Product) -> None:
    job = put_aside(product, client)
    (letter,) = letters_of(client, job)

    def line(*arguments: str) -> str:
        ended = subprocess.run(
            [COMMAND, "dead-letters", *arguments, "--server", product.service.address],
            capture_output=True,
            check=True,
            text=True,
        )
        return ended.stdout

    assert letter.id in line("list")
    assert f'"id": "{job}"' in line("show", letter.id)
    assert json.loads(line("replay", letter.id, "--dry-run", "-o", "json")) == {
        "matched": 1,
        "replayed": 1,
    }
    assert "dropped" in line("drop", "--event", "createJobs", "--yes")
    assert letter.id not in line("list")
    assert letter.id in line("list", "--all")
    product.client.delete(job)
