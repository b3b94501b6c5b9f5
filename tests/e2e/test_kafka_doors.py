"""Kafka with its authorizer on: least rights, SCRAM, OAUTHBEARER, TLS, client certificates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from scheduling_srv.adapters.kafka.clients import in_words
from scheduling_srv.adapters.kafka.needed_rights import CREATES, RIGHTS, Right
from tests.client import contract
from tests.e2e.conftest import Deploy
from tests.e2e.doctor import doctor
from tests.e2e.product import Product, fresh
from tests.harness.certificates import Authority
from tests.harness.fixtures import StartService
from tests.harness.guarded_kafka import PASSWORD, USER, GuardedKafka
from tests.harness.names import Names
from tests.harness.service import Service
from tests.harness.tokens import AUDIENCE, Issuer
from tests.harness.waiting import eventually

PRINCIPAL = f"User:{USER}"


class Login:
    """Hands out tokens to Kafka's clients (OIDC), and tells the broker the keys."""

    def __init__(self) -> None:
        self.issuer = Issuer(kind="RS256")
        self.claims: dict[str, Any] = {}
        login = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say(login.issuer.jwks)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                token = login.issuer.token(USER, "operator", **login.claims)
                answer = {"access_token": token, "expires_in": 60, "token_type": "Bearer"}
                self._say(json.dumps(answer))

            def _say(self, text: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture(scope="module")
def login() -> Iterator[Login]:
    made = Login()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def guarded(
    login: Login, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedKafka]:
    directory = tmp_path_factory.mktemp("guarded-kafka")
    server = GuardedKafka(directory, authority, jwks=f"{login.url}/keys", audience=AUDIENCE)
    server.start()
    server.make_user()
    yield server
    server.stop()


def names_of(names: Names) -> dict[str, str]:
    return {
        "jobs": names.jobs,
        "commands": names.commands,
        "resources": names.resources,
        "dead_letter": names.dead_letter,
        "namespace": names.namespace,
        "group": names.environment()["SCHEDULING_KAFKA_GROUP_ID"],
    }


def scram(authority: Authority, **more: str) -> dict[str, str]:
    return {
        "security.protocol": "sasl_ssl",
        "ssl.ca.location": str(authority.ca),
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": USER,
        "sasl.password": PASSWORD,
        **more,
    }


def oauth(login: Login) -> dict[str, str]:
    return {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": USER,
        "sasl.oauthbearer.client.secret": "a-secret",
        "sasl.oauthbearer.token.endpoint.url": f"{login.url}/token",
    }


def through(replica: Service, port: int, options: dict[str, str]) -> Service:
    replica.settings["SCHEDULING_KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{port}"
    replica.settings["SCHEDULING_KAFKA_OPTIONS"] = json.dumps(options)
    replica.settings["SCHEDULING_LOG_FORMAT"] = "json"
    return replica


def test_a_whole_life_with_the_least_rights(
    deploy: Deploy, guarded: GuardedKafka, authority: Authority, names: Names
) -> None:
    guarded.allow(PRINCIPAL, [*RIGHTS, *CREATES], names_of(names))
    product = deploy(start=False, kafka=guarded)
    through(product.service, guarded.scram_port, scram(authority))
    product.service.start()
    kind, kept = fresh("type"), fresh()
    product.client.create(contract.job(type=kind, now=True))
    product.done(product.run(kind))
    product.client.create(contract.job(id=kept, type=kind, interval="0 0 5 * * *"))
    product.send("createJobs", b"\x0a\x7f")
    product.dead_letter(lambda record: record.value == b"\x0a\x7f")
    product.client.command("version")
    product.settle()
    product.service.kill()
    product.service.start()
    product.client.command("restore", {"jobs": {"offset": 0}})
    eventually(lambda: kept in product.ids(), what="the restored job")
    eventually(lambda: _health(product) == (200, [], [], []), what="nothing is wrong")
    denied = [line for line in product.service.lines() if "authoriz" in json.dumps(line).lower()]
    assert denied == []
    product.client.command("reset")


@pytest.mark.parametrize(
    ("without", "operation", "says"),
    [
        (("topic", "{jobs}"), "Read", "authoriz"),
        (("group", "{group}"), "Read", "authoriz"),
        (("transactional-id", "{namespace}-*"), "Write", "authoriz"),
    ],
)
def test_a_missing_right_is_named(  # noqa: PLR0917 - fixtures
    service: StartService,
    guarded: GuardedKafka,
    authority: Authority,
    names: Names,
    without: tuple[str, str],
    operation: str,
    says: str,
) -> None:
    replica = through(service(start=False, kafka=guarded), guarded.scram_port, scram(authority))
    guarded.allow(PRINCIPAL, [*RIGHTS, *CREATES], names_of(names))
    replica.start()  # makes the topics
    replica.stop()
    left = [_without(right, operation) if right[:2] == without else right for right in RIGHTS]
    guarded.allow(PRINCIPAL, left, names_of(names))
    begun = len(replica.lines())
    replica.launch()

    def told() -> bool:
        return any(says in str(line.get("reason", "")).lower() for line in replica.lines()[begun:])

    eventually(told, what=says)


def test_a_topic_that_may_not_be_written_is_named(
    deploy: Deploy, guarded: GuardedKafka, authority: Authority, names: Names
) -> None:
    """A broker tells that only when a record comes."""
    guarded.allow(PRINCIPAL, [*RIGHTS, *CREATES], names_of(names))
    product = deploy(start=False, kafka=guarded)
    replica = through(product.service, guarded.scram_port, scram(authority))
    replica.start()
    jobs = ("topic", "{jobs}")
    left = [_without(right, "Write") if right[:2] == jobs else right for right in RIGHTS]
    guarded.allow(PRINCIPAL, left, names_of(names))
    product.client.create(contract.job(type=fresh("type"), now=True))
    said = "Topic authorization failed"
    eventually(lambda: said in replica.log.read_text(), what=said)
    guarded.allow(PRINCIPAL, RIGHTS, names_of(names))
    replica.wait_until_serving()


def _without(right: Right, operation: str) -> Right:
    left = [each for each in right.operations.split() if each != operation]
    return right._replace(operations=" ".join(left))


def test_signed_tokens(
    service: StartService, guarded: GuardedKafka, login: Login, names: Names
) -> None:
    guarded.allow(PRINCIPAL, [*RIGHTS, *CREATES], names_of(names))
    replica = through(service(start=False, kafka=guarded), guarded.oauth_port, oauth(login))
    replica.start()
    replica.stop()


def test_client_certificates(
    service: StartService, guarded: GuardedKafka, authority: Authority, names: Names
) -> None:
    guarded.allow(PRINCIPAL, [*RIGHTS, *CREATES], names_of(names))
    replica = through(
        service(start=False, kafka=guarded), guarded.mtls_port, mutual(authority, authority)
    )
    replica.start()
    replica.stop()


def mutual(
    authority: Authority, signer: Authority, lasts: timedelta = timedelta(days=1)
) -> dict[str, str]:
    pair = signer.sign(USER, lasts=lasts)
    return {
        "security.protocol": "ssl",
        "ssl.ca.location": str(authority.ca),
        "ssl.certificate.location": str(pair.certificate),
        "ssl.key.location": str(pair.key),
    }


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("password", "refuses the user or the password (SASL)"),
        ("user", "refuses the user or the password (SASL)"),
        ("mechanism", "does not take this SASL mechanism: check sasl.mechanism"),
        ("broker", "shows a certificate that cannot be verified: check ssl.ca.location"),
        ("none", "refuses this client's certificate: check ssl.certificate.location"),
        ("foreign", "refuses this client's certificate: check ssl.certificate.location"),
        ("expired", "refuses this client's certificate"),
        ("audience", "refuses the token (SASL OAUTHBEARER)"),
    ],
)
def test_a_wrong_credential_is_named(  # noqa: PLR0917 - fixtures
    service: StartService,
    guarded: GuardedKafka,
    authority: Authority,
    login: Login,
    tmp_path: Path,
    wrong: str,
    reason: str,
) -> None:
    foreign = Authority(tmp_path / "foreign", "Foreign Authority")
    late = -timedelta(days=1)
    port, options = {
        "password": (guarded.scram_port, scram(authority, **{"sasl.password": "wrong"})),
        "user": (guarded.scram_port, scram(authority, **{"sasl.username": "other"})),
        "mechanism": (guarded.scram_port, scram(authority, **{"sasl.mechanism": "PLAIN"})),
        "broker": (guarded.scram_port, scram(foreign)),
        "none": (
            guarded.mtls_port,
            {"security.protocol": "ssl", "ssl.ca.location": str(authority.ca)},
        ),
        "foreign": (guarded.mtls_port, mutual(authority, foreign)),
        "expired": (guarded.mtls_port, mutual(authority, authority, late)),
        "audience": (guarded.oauth_port, oauth(login)),
    }[wrong]
    login.claims = {"aud": "another"} if wrong == "audience" else {}
    replica = through(service(start=False, kafka=guarded), port, options)
    replica.launch()
    try:
        said = f"127.0.0.1:{port} {reason}"
        eventually(lambda: said in replica.log.read_text(), what=said)
    finally:
        login.claims = {}


def test_the_words_of_librdkafka_about_an_expired_certificate() -> None:
    assert in_words("SSL handshake failed: certificate has expired").endswith("has expired")


def rights_of(replica: Service) -> dict[str, Any]:
    """What the doctor finds of the rights. A broker knows them a moment after they were given."""
    found: dict[str, dict[str, Any]] = doctor(replica)[1]
    return found.get("kafka.rights", {"severity": "not asked", "all": []})


def told(replica: Service) -> str:
    """The messages of its errors about rights."""
    errors = (each for each in rights_of(replica)["all"] if each["severity"] == "error")
    return "\n".join(each["message"] for each in errors)


def test_the_doctor_names_missing_rights(
    service: StartService, guarded: GuardedKafka, authority: Authority, names: Names
) -> None:
    replica = through(service(start=False, kafka=guarded), guarded.scram_port, scram(authority))
    guarded.allow(PRINCIPAL, [*RIGHTS, *CREATES], names_of(names))
    replica.start()  # makes the topics
    replica.stop()
    eventually(lambda: rights_of(replica)["severity"] == "ok", what="all rights")
    unusable = {"{namespace}.journal": "Write", "{group}": "Read", "{namespace}-*": "Write"}
    left = [_without(right, unusable.get(right.name, "")) for right in RIGHTS]
    guarded.allow(PRINCIPAL, [right for right in left if right.name != "*"], names_of(names))
    group = names_of(names)["group"]
    for said in (
        f"Write on the topic {names.namespace}.journal",
        f"Transactional ids that begin with {names.namespace}-",
        f"The group {group} may not be read",
    ):
        eventually(lambda said=said: said in told(replica), what=said)  # type: ignore[misc]
    assert doctor(replica)[0] == 1


def _health(product: Product) -> tuple[int, object, object, object]:
    status, text = product.service.get("/readyz?verbose")
    found = json.loads(text)
    return status, found["reasons"], found["degraded"], found["unknown"]
