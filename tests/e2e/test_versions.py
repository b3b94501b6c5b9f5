"""Stored data and the versions of the service that share it (docs/decisions/0024)."""

import re
import sys
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import redis

from scheduling_client import Client, Filter
from scheduling_client.api.errors import FailedPrecondition
from scheduling_srv.formats import job_record
from scheduling_srv.formats.versions import FORMATS, READS, WRITES
from tests.client import contract
from tests.client.topics import unmake_topic
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, tomorrow
from tests.e2e.recurring import assert_goes_on, recurring
from tests.harness.fixtures import StartService
from tests.harness.given import Kafka
from tests.harness.names import Names
from tests.harness.older import BEFORE_V1, source_of
from tests.harness.service import Service
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import PATIENCE_SECONDS, eventually

JOBS_KEY = re.compile(r"\{\d+\}:jobs( |$)")
LATER_THAN = "The stored data is newer than this version of the service"
LATER = READS + 1
LATER_VERSION = """
from scheduling_srv.formats import versions
versions.FORMATS = (*versions.FORMATS, versions.Format(job={job}, run={run}))
versions.READS, versions.WRITES = {reads}, {writes}
versions.FRESH = max({fresh}, {writes})
from scheduling_srv.cli.main import main
raise SystemExit(main())
"""


def that_writes(number: int) -> tuple[str, ...]:
    """The command of the next version: it reads one more format than this one."""
    last = FORMATS[READS]
    script = LATER_VERSION.format(
        job=last.job + 1, run=last.run + 1, reads=LATER, writes=number, fresh=number
    )
    return sys.executable, "-c", script, "serve"


def that_begins_with_the_first_format() -> tuple[str, ...]:
    """The command of a version like this one, but a new store has the format of 2018."""
    script = """
from scheduling_srv.formats import versions
versions.FRESH = versions.WRITES
from scheduling_srv.cli.main import main
raise SystemExit(main())
"""
    return sys.executable, "-c", script, "serve"


def meta(product: Product) -> str:
    return f"{product.names.namespace}:{{0}}:meta"


def format_of(product: Product, store: ValkeyServer) -> int:
    with store.client() as client:
        return int(client.hget(meta(product), "format") or 0)


def version_of(product: Product, store: ValkeyServer, job_id: str) -> int:
    with closing(redis.Redis.from_url(store.url)) as client:
        keys = client.scan_iter(f"{product.names.namespace}:{{*}}:jobs")
        found: list[Any] = [client.hget(key, job_id) for key in keys]
    (record,) = filter(None, found)
    assert isinstance(record, bytes)
    return job_record.version(record)


def assert_refused(replica: Service, found: int = LATER, reads: int = READS) -> None:
    assert replica.exit_code() == 2
    text = replica.log.read_text()
    assert "Traceback" not in text
    assert text.splitlines()[-1] == (
        f"scheduling-srv: {LATER_THAN}: it has format {found}, and this version reads up to"
        f" {reads}. Start the version that wrote the data, or a later one."
    )


def test_data_of_a_later_format_is_refused(deploy: Deploy, own: ValkeyServer) -> None:
    product = deploy(valkey=own)
    kind = recurring(product)
    replica = product.service
    replica.stop()
    assert format_of(product, own) == READS
    with own.client() as client:
        client.hset(meta(product), "format", LATER)
    replica.launch()
    assert_refused(replica)
    with own.client() as client:
        client.hset(meta(product), "format", READS)
    replica.start()
    assert_goes_on(product, kind)
    product.client.delete(kind)
    product.finish(kind)


def test_a_rebuild_of_a_later_format_is_refused(
    service: StartService, kafka: Kafka, names: Names, own: ValkeyServer
) -> None:
    later = service(start=False, command=that_writes(LATER), valkey=own)
    later.start()
    with Product(kafka.bootstrap, names, later) as product:
        kind = recurring(product)
        later.stop()
        own.flush()
        present = service(start=False, valkey=own)
        present.launch()
        assert_refused(present)
        later.start()
        assert_goes_on(product, kind)
        assert format_of(product, own) == LATER
        product.client.delete(kind)
        product.finish(kind)


def test_a_store_of_the_version_before_keeps_its_format(
    service: StartService, kafka: Kafka, names: Names, own: ValkeyServer
) -> None:
    """So the version before may be started again; a rebuild changes nothing about that."""
    keeps = "1d"
    first = that_begins_with_the_first_format()
    before = service(command=first, valkey=own, raise_format_after=keeps)
    present = service(start=False, valkey=own, raise_format_after=keeps)
    with Product(kafka.bootstrap, names, before) as product:
        kind = recurring(product)
        before.stop()
    present.start()
    with Product(kafka.bootstrap, names, present) as product:
        assert_goes_on(product, kind)
        assert format_of(product, own) == WRITES
        assert version_of(product, own, kind) == FORMATS[WRITES].job
        present.stop()
        own.flush()
        present.start()
        assert_goes_on(product, kind)
        newer = recurring(product)
        assert format_of(product, own) == WRITES
        assert version_of(product, own, newer) == FORMATS[WRITES].job
        for each in (kind, newer):
            product.client.delete(each)
            product.finish(each)


def test_the_store_of_the_version_before_v1_is_raised_once_it_is_gone(
    service: StartService, kafka: Kafka, names: Names, own: ValkeyServer, tmp_path: Path
) -> None:
    """Its job goes on without a gap, and may have what is new."""
    older = service(start=False, valkey=own)
    older.settings["PYTHONPATH"] = source_of(BEFORE_V1, tmp_path)
    older.start()
    newer = service(start=False, valkey=own, raise_format_after="0s")
    with Product(kafka.bootstrap, names, older) as product:
        kind = recurring(product)
        newer.start()
        with Client(newer.address) as client, pytest.raises(FailedPrecondition):
            client.pause(kind)
        older.stop()
        eventually(lambda: format_of(product, own) == READS, what="the new format")
        newer.wait_until_serving()
        assert_goes_on(product, kind)
    with Product(kafka.bootstrap, names, newer) as product, Client(newer.address) as client:
        assert [job.id for job in client.list(Filter(type=kind))] == [kind]
        assert (client.get(kind).revision, client.get(kind).create_time) == (1, None)
        eventually(lambda: client.pause(kind).changed, what="all shards raised")
        assert client.get(kind).pause
        newer.stop()
        own.flush()
        newer.start()
        assert client.get(kind).pause, "Kafka knows the new format"
        product.client.delete(kind)
        product.finish(kind)
        older.launch()
        assert older.exit_code() == 2


def test_records_tell_the_format_if_redis_and_the_position_are_lost(
    service: StartService, kafka: Kafka, names: Names, own: ValkeyServer
) -> None:
    """One shard has a job, and all have its format: calls need not wait for a raise."""
    replica = service(valkey=own, raise_format_after="1d")
    with Product(kafka.bootstrap, names, replica) as product, Client(replica.address) as client:
        kind = recurring(product)
        replica.stop()
        own.flush()
        unmake_topic(kafka.bootstrap, f"{names.namespace}.position")
        replica.start()
        replica.wait_until_serving()
        eventually(lambda: format_of(product, own) == READS, what="the format of all shards")
        assert client.pause(kind).changed
        product.client.delete(kind)
        product.finish(kind)


def test_versions_share_data_and_the_next_one_may_be_taken_back(
    service: StartService, kafka: Kafka, names: Names, own: ValkeyServer
) -> None:
    """The present version, and the next one, which writes what the present one reads."""
    present = service(valkey=own)
    following = service(command=that_writes(READS), valkey=own)
    with Product(kafka.bootstrap, names, present, following) as product:
        kind = recurring(product)
        present.stop()
        assert_goes_on(product, kind)
        present.start()
        following.stop()
        assert_goes_on(product, kind)
        assert format_of(product, own) == READS
        product.client.delete(kind)
        product.finish(kind)


def test_a_version_that_is_two_behind_waits(
    service: StartService, kafka: Kafka, names: Names, own: ValkeyServer
) -> None:
    """The next version reads what the one after it writes, and goes on without it."""
    present = service(valkey=own)
    following = service(command=that_writes(READS), valkey=own)
    with Product(kafka.bootstrap, names, following) as product:
        kind = recurring(product)
        last = service(command=that_writes(LATER), valkey=own)
        eventually(
            lambda: "the stored data is newer than this version" in present.log.read_text(),
            what="the present version to wait",
        )
        eventually(lambda: LATER_THAN in present.get("/readyz?verbose")[1], what="its reason")
        present.stop()
        present.launch()
        assert_refused(present)
        assert_goes_on(product, kind)
        assert format_of(product, own) == LATER
        with Product(kafka.bootstrap, names, last) as other:
            newer = recurring(other)
        assert version_of(product, own, newer) == FORMATS[READS].job + 1
        assert version_of(product, own, kind) == FORMATS[READS].job
        last.stop()
        assert_goes_on(product, kind)
        assert_goes_on(product, newer)
        assert {kind, newer} == set(product.living(kind, newer))
        for each in (kind, newer):
            product.client.delete(each)
            product.finish(each)


class Monitor(Thread):
    """Notes each command that Redis carries out, those of scripts included."""

    def __init__(self, server: ValkeyServer) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.ready, self.seen = Event(), list[str]()

    def run(self) -> None:
        with self.server.client() as client, client.monitor() as monitor:
            self.ready.set()
            for command in monitor.listen():
                self.seen.append(command["command"])
                if command["command"] == "ECHO end":
                    return

    def end(self) -> list[str]:
        with self.server.client() as client:
            client.echo("end")
        self.join()
        return self.seen


def test_a_start_reads_no_job(deploy: Deploy, own: ValkeyServer) -> None:
    """However many there are: they are read, and written anew, when they are touched."""
    product = deploy(valkey=own)
    product.client.create(*(contract.job(id=f"w{n}", when=tomorrow()) for n in range(50)))
    replica = product.service
    replica.stop()
    monitor = Monitor(own)
    monitor.start()
    assert monitor.ready.wait(PATIENCE_SECONDS)
    replica.start()
    seen = monitor.end()
    assert any(meta(product) in command for command in seen)
    # MONITOR shows the keys of a script, then each command in it. How many there are is one number.
    own_commands = [each for each in seen if not each.startswith(("EVAL", "HLEN"))]
    assert [each for each in own_commands if JOBS_KEY.search(each)] == []
    product.client.delete(*(f"w{n}" for n in range(50)))
