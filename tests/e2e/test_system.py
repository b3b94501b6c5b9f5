"""SystemService and both doctors on real servers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduling_client import Client
from scheduling_client.api.system import Finding, Severity
from tests.e2e.doctor import doctor
from tests.e2e.product import Product
from tests.harness.ports import free_port
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import eventually

COMMAND = Path(sys.executable).parent / "scheduling"
CHECKS = {
    "kafka",
    "kafka.clock",
    "kafka.compaction",
    "kafka.lag",
    "kafka.replication",
    "kafka.retention",
    "kafka.rights",
    "kafka.sizes",
    "kafka.topics",
    "redis.clock",
    "redis.eviction",
    "redis.latency",
    "redis.memory",
    "redis.persistence",
    "redis.rights",
    "redis.version",
    "service.owner",
}
OF_A_REPLICA = {"service.health"}
OF_A_START = {"service.doors"}


def command(product: Product, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments, "--server", product.service.address],
        capture_output=True,
        check=False,
        text=True,
    )


def diagnosis(client: Client) -> dict[str, Finding] | None:
    """Check -> what a replica finds; None while there is an error: a server answers too late."""
    found = {each.check: each for each in client.diagnose()}
    wrong = any(each.severity is Severity.ERROR for each in found.values())
    return None if wrong else found


def test_a_replica_examines_its_servers(product: Product) -> None:
    with Client(product.service.address) as client:
        found = eventually(lambda: diagnosis(client), what="a replica that finds no error")
    assert found.keys() == CHECKS | OF_A_REPLICA
    assert "Valkey" in found["redis.version"].message
    assert "owns shard 0" in found["service.owner"].message


def test_a_replica_tells_how_it_is_set_up(product: Product) -> None:
    with Client(product.service.address) as client:
        system = client.system()
    settings = {each.name: each for each in system.settings}
    assert settings["SCHEDULING_NAMESPACE"].value == product.names.namespace == system.namespace
    assert settings["SCHEDULING_NAMESPACE"].source == "environment"
    assert settings["SCHEDULING_LEASE"].source == "default"
    hidden = settings["SCHEDULING_REDIS_URL"]
    assert (hidden.secret, hidden.value, hidden.source) == (True, "", "environment")
    topics = {each.name: each.partitions for each in system.topics}
    assert topics[product.names.jobs] >= 1
    assert len(topics) == 7


def without_errors(product: Product) -> str:
    """What the doctor of a replica shows; empty while it finds an error."""
    shown = command(product, "doctor")
    return "" if shown.returncode else shown.stdout


def test_the_command_shows_both(product: Product) -> None:
    shown = eventually(lambda: without_errors(product), what="a doctor that finds no error")
    assert "redis.persistence" in shown
    found = json.loads(command(product, "doctor", "-o", "json").stdout)
    assert {each["check"] for each in found} == CHECKS | OF_A_REPLICA
    system = command(product, "system", "--changed")
    assert "SCHEDULING_NAMESPACE" in system.stdout
    assert "SCHEDULING_MAX_ITEMS" not in system.stdout
    assert "(hidden)" in system.stdout


def healthy(product: Product, **settings: str) -> dict[str, Any] | None:
    """The findings before a start; None while there is an error."""
    code, found = doctor(product.service, **settings)
    return None if code else found


def test_a_doctor_before_a_start(product: Product) -> None:
    found = eventually(lambda: healthy(product), what="a doctor that finds no error")
    assert found.keys() == CHECKS | OF_A_START


def test_each_doctor_names_servers_that_are_away(product: Product) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    code, found = doctor(
        product.service, kafka_bootstrap_servers=nowhere, redis_url=f"redis://{nowhere}"
    )
    assert code == 1
    for server in ("kafka", "redis"):
        assert found[server]["severity"] == "error"
        assert nowhere in found[server]["message"]
        assert found[server]["remedy"]


def test_a_doctor_names_bad_settings_of_redis(product: Product, own: ValkeyServer) -> None:
    with own.client() as client:
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    code, found = doctor(product.service, redis_url=own.url)
    assert code == 1
    assert found["redis.eviction"]["severity"] == "error"
    assert "noeviction" in found["redis.eviction"]["remedy"]


def test_warnings_count_if_they_are_to(product: Product) -> None:
    eventually(lambda: healthy(product, completion_timeout="300d"), what="no error")
    code, found = doctor(product.service, "--strict", completion_timeout="300d")
    assert (code, found["kafka.retention"]["severity"]) == (1, "warning")


def test_a_wrong_setting_ends_the_doctor(product: Product) -> None:
    with pytest.raises(AssertionError, match="is not a duration"):
        doctor(product.service, lease="soon")
