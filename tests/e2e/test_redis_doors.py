"""Redis with the least rights, with TLS, and with client certificates."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.client import contract
from tests.e2e.conftest import Deploy
from tests.e2e.product import Product, fresh, tomorrow
from tests.e2e.test_troubles import assert_waits_because
from tests.harness.certificates import Authority, Pair
from tests.harness.fixtures import StartService
from tests.harness.names import Names
from tests.harness.service import Service
from tests.harness.tls_front import TlsFront
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import eventually
from tools.redis_rights import rights

SECRET = "a-password"


@pytest.fixture
def guarded(own: ValkeyServer) -> ValkeyServer:
    """A Redis of the module's own, which has refused nothing yet."""
    with own.client() as client:
        client.execute_command("ACL", "LOG", "RESET")
    return own


def allow(server: ValkeyServer, names: Names, *rules: str) -> str:
    """The URL of a user with the least rights, and these."""
    with server.client() as client:
        keys = (f"~{names.namespace}:*", f"~{names.client_id}:*", f"&{names.namespace}:*")
        client.execute_command(
            *("ACL", "SETUSER", "scheduling", "reset", "on", f">{SECRET}", *keys),
            *(*rights(), *rules),
        )
    return f"redis://scheduling:{SECRET}@127.0.0.1:{server.port}/0"


def refused(server: ValkeyServer) -> list[str]:
    """The commands and keys that Redis has refused to the user since its start."""
    with server.client() as client:
        log: Any = client.execute_command("ACL", "LOG")
    return [f"{entry['reason']} {entry['object']}" for entry in log]


@pytest.mark.parametrize("shards", ["1", "3"])
def test_a_whole_life_with_the_least_rights(
    deploy: Deploy, guarded: ValkeyServer, names: Names, shards: str
) -> None:
    product = deploy(start=False, valkey=guarded)
    url = allow(guarded, names)
    product.service.settings |= {"SCHEDULING_REDIS_URL": url, "SCHEDULING_SHARDS": shards}
    product.service.start()
    kept = live(product)
    product.service.stop()
    product.service.start()
    product.service.kill()
    guarded.flush()
    product.service.start()
    assert kept in product.ids()
    product.client.command("restore", {"jobs": {"offset": 0}})
    eventually(lambda: kept in product.ids(), what="the restored job")
    product.client.delete(collection=True)
    product.client.command("reset")
    assert refused(guarded) == []


def live(product: Product) -> str:
    """All that jobs can do: runs, retries, limits, cron, updates, deletions; a job that stays."""
    kind, held, kept = fresh("type"), fresh("held"), fresh()
    product.client.create(contract.job(type=kind, now=True))
    product.done(product.run(kind))
    product.create_in(50, contract.job(type=kind, attempts=2))
    product.failed(product.run(kind, 2))
    product.failed(product.run(kind, 3))
    recurring = fresh()
    product.client.create(contract.job(id=recurring, type=kind, interval="200 ms"))
    product.done(product.run(kind, 4))
    product.client.update(contract.job(id=recurring, type=kind, interval="1 hour"))
    product.client.create(contract.job(id=kept, type=kind, interval="0 0 5 * * *"))
    jobs = [
        contract.job(type=held, parallel=1, now=True, priority=contract.Job.HIGH) for _ in range(3)
    ]
    product.client.create(*jobs)
    for number in range(1, 4):
        product.done(product.run(held, number))
    event = contract.JobList(items=[contract.job(type=kind, when=tomorrow())])
    product.send("createJobs", event)
    product.send("createJobs", b"\x0a\x7f")
    product.dead_letter(lambda record: record.value == b"\x0a\x7f")
    product.settle()
    product.client.delete(recurring)
    product.finish(kind)
    product.settle()
    return kept


@pytest.mark.parametrize("command", ["evalsha", "publish", "zadd"])
def test_a_missing_right_is_named(
    service: StartService, guarded: ValkeyServer, names: Names, command: str
) -> None:
    replica = service(start=False, valkey=guarded)
    replica.settings["SCHEDULING_REDIS_URL"] = allow(guarded, names, f"-{command}")
    replica.launch()
    assert replica.exit_code() == 2
    said = replica.log.read_text()
    assert f"Redis refuses {command.upper()}" in said or f"'{command}' command" in said


def test_a_wrong_password_is_named(
    service: StartService, guarded: ValkeyServer, names: Names
) -> None:
    replica = service(start=False, valkey=guarded)
    url = allow(guarded, names).replace(SECRET, "wrong")
    replica.settings["SCHEDULING_REDIS_URL"] = url
    replica.launch()
    assert replica.exit_code() == 2
    said = replica.log.read_text()
    assert "refuses the password: check SCHEDULING_REDIS_URL." in said
    assert "wrong@" not in said


# --- TLS ---


def through(replica: Service, front: TlsFront, **parameters: object) -> Service:
    """The replica with a URL that leads to TLS."""
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    replica.settings["SCHEDULING_REDIS_URL"] = f"rediss://127.0.0.1:{front.port}/0?{query}"
    replica.settings["SCHEDULING_LOG_FORMAT"] = "json"
    return replica


def test_tls(service: StartService, guarded: ValkeyServer, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    with TlsFront(guarded.port, authority.sign("redis.test")) as front:
        replica = through(service(start=False, valkey=guarded), front, ssl_ca_certs=authority.ca)
        replica.start()
        replica.stop()


def test_client_certificates(service: StartService, guarded: ValkeyServer, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    own = authority.sign("scheduling.test")
    server = authority.sign("redis.test")
    with TlsFront(guarded.port, server, authority.ca) as front:
        replica = through(
            service(start=False, valkey=guarded),
            front,
            ssl_ca_certs=authority.ca,
            ssl_certfile=own.certificate,
            ssl_keyfile=own.key,
        )
        replica.start()
        replica.stop()


def foreign(directory: Path) -> Pair:
    return Authority(directory / "foreign").sign("foreign.test")


@pytest.mark.parametrize(
    ("server", "client", "reason"),
    [
        ("foreign", None, "shows a certificate that cannot be verified: check ssl_ca_certs"),
        ("expired", None, "shows a certificate that has expired"),
        ("good", None, "refuses this client's certificate: check ssl_certfile"),
        ("good", "foreign", "refuses this client's certificate: check ssl_certfile"),
        ("good", "expired", "refuses this client's certificate: it has expired (ssl_certfile)"),
    ],
)
def test_a_certificate_that_is_wrong_is_named(
    service: StartService,
    guarded: ValkeyServer,
    tmp_path: Path,
    *,
    server: str,
    client: str | None,
    reason: str,
) -> None:
    authority = Authority(tmp_path / "authority")
    pairs = {
        "good": authority.sign("good.test"),
        "expired": authority.sign("expired.test", lasts=-timedelta(days=1)),
        "foreign": foreign(tmp_path),
    }
    with TlsFront(guarded.port, pairs[server], authority.ca) as front:
        given = pairs[client] if client else None
        own = {"ssl_certfile": given.certificate, "ssl_keyfile": given.key} if given else {}
        replica = through(
            service(start=False, valkey=guarded), front, ssl_ca_certs=authority.ca, **own
        )
        assert_waits_because(replica, f"127.0.0.1:{front.port} {reason}")
