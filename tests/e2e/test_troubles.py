"""What an operator is told of servers that do not answer, and how many lines that takes."""

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.client.topics import group_members
from tests.harness.fixtures import StartService
from tests.harness.given import Kafka
from tests.harness.kafka import KafkaServer
from tests.harness.names import Names
from tests.harness.secure_kafka import PASSWORD, USER, SecureKafka
from tests.harness.service import Service
from tests.harness.valkey import ValkeyServer
from tests.harness.waiting import eventually
from tests.harness.windows import in_time, with_enough_time

TLS = {"security.protocol": "ssl"}
SASL = {
    "security.protocol": "sasl_plaintext",
    "sasl.mechanism": "PLAIN",
    "sasl.username": USER,
    "sasl.password": "a-wrong-one",
}
PLAIN = {"security.protocol": "plaintext"}
OPERATORS_LOG = {"SCHEDULING_LOG_LEVEL": "info", "SCHEDULING_LOG_FORMAT": "json"}


@pytest.fixture(scope="module")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    server = SecureKafka(tmp_path_factory.mktemp("secure-kafka"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def tls_port() -> Iterator[int]:
    """Accepts TLS and nothing else: what it hears of a plain client is no greeting."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"\x15\x03\x03\x00\x02\x02\x46")  # alert: no such version

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def told(replica: Service, event: str, begin: int = 0) -> dict[str, Any]:
    """The first line of this event from line `begin` on."""

    def found() -> dict[str, Any] | None:
        lines = replica.lines()[begin:]
        return next((line for line in lines if line["event"] == event), None)

    return eventually(found, what=event)


def quiet(service: StartService) -> Service:
    """A replica that is not started yet, with the log that operators have."""
    replica = service(start=False)
    replica.settings |= OPERATORS_LOG
    return replica


def assert_waits_because(replica: Service, reason: str) -> None:
    """It says why its start waits. On a busy machine another reason may come before this one."""
    replica.launch()

    def is_said() -> bool:
        lines = (line for line in replica.lines() if line["event"] == "waiting for a server")
        return any(reason in line["reason"] for line in lines)

    eventually(is_said, what=reason)
    assert [line for line in replica.lines() if line["event"] == "serving"] == []


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:1", "127.0.0.1:1 refuses the connection: no server listens there."),
        ("no-such-host.invalid:9092", "no-such-host.invalid:9092 has a host name that cannot be"),
    ],
)
def test_no_kafka_there(service: StartService, address: str, reason: str) -> None:
    replica = quiet(service)
    replica.settings["SCHEDULING_KAFKA_BOOTSTRAP_SERVERS"] = address
    assert_waits_because(replica, f"Kafka does not answer: {reason}")


@pytest.mark.parametrize(
    ("port", "options", "reason"),
    [
        ("tls_port", TLS, "shows a certificate that cannot be verified: check ssl.ca.location"),
        ("sasl_port", SASL, "refuses the user or the password (SASL)"),
        ("port", TLS, "does not speak TLS, which security.protocol asks for"),
        ("tls_port", PLAIN, "closes the connection at once: it may expect TLS or SASL"),
        ("sasl_port", PLAIN, "closes the connection at once: it may expect TLS or SASL"),
    ],
    ids=["unknown-ca", "wrong-password", "tls-on-plain", "plain-on-tls", "plain-on-sasl"],
)
def test_a_kafka_that_is_spoken_to_wrongly(
    service: StartService,
    secure_kafka: SecureKafka,
    port: str,
    options: dict[str, str],
    reason: str,
) -> None:
    address = f"127.0.0.1:{getattr(secure_kafka, port)}"
    replica = quiet(service)
    replica.settings["SCHEDULING_KAFKA_BOOTSTRAP_SERVERS"] = address
    replica.settings["SCHEDULING_KAFKA_OPTIONS"] = json.dumps(options)
    assert_waits_because(replica, f"Kafka does not answer: {address} {reason}")


def test_the_right_password(service: StartService, secure_kafka: SecureKafka) -> None:
    """Else the test above would prove nothing."""
    replica = quiet(service)
    replica.settings["SCHEDULING_KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{secure_kafka.sasl_port}"
    options = json.dumps({**SASL, "sasl.password": PASSWORD})
    replica.settings["SCHEDULING_KAFKA_OPTIONS"] = options
    replica.start()
    assert told(replica, "serving")["level"] == "info"


def test_no_tls_where_redis_expects_it(service: StartService, tls_port: int) -> None:
    replica = quiet(service)
    replica.settings["SCHEDULING_REDIS_URL"] = f"redis://127.0.0.1:{tls_port}/0"
    assert_waits_because(replica, f"127.0.0.1:{tls_port} expects TLS (rediss://).")


def test_tls_where_redis_has_none(service: StartService, valkey: ValkeyServer) -> None:
    """Redis waits for the rest of a command, and so the client waits for Redis."""
    replica = quiet(service)
    replica.settings["SCHEDULING_REDIS_URL"] = valkey.url.replace("redis://", "rediss://")
    assert_waits_because(replica, "does not speak TLS (rediss://)")


# --- how many lines ---

EXPECTED = {
    "Redis does not answer",
    "not serving",
    "not emitting",
    "lease lost",
    "lease given back",
    "lease not given back: it will end by itself",
    "lease taken",
    "emitting",
    "reading again from the stored positions",
    "reading partitions",
    "Redis answers again",
    "serving again",
}
"""What may be said while Redis is killed and started again."""


def events_of(replica: Service, begin: int) -> list[str]:
    return [line["event"] for line in replica.lines()[begin:]]


def test_a_first_start_has_no_warnings(service: StartService, kafka: Kafka) -> None:
    group_members(kafka.bootstrap)  # Kafka has loaded its groups, which it does after a restart

    def attempt(_: int) -> None:
        """A server may answer too late on a busy machine, and that is a warning."""
        replica = service(start=False, names=Names.unique())
        replica.settings |= OPERATORS_LOG
        replica.start()
        told(replica, "serving")
        warnings = [line for line in replica.lines() if line["level"] != "info"]
        in_time(warnings == [], f"the servers answered in time, but {warnings}")
        events = [line["event"] for line in replica.lines() if line["event"] != "topic created"]
        assert (events[0], events.count("serving")) == ("listening", 1)

    with_enough_time(attempt, 0)


def assert_nothing_said_twice(replica: Service, begin: int) -> None:
    """A server that is away for long may give another reason after a while."""
    said = [(line["event"], line.get("reason")) for line in replica.lines()[begin:]]
    assert max(map(said.count, said)) == 1, said


def test_a_redis_that_is_killed(service: StartService, breakable_valkey: ValkeyServer) -> None:
    """Before, these were some seven lines a second."""
    replica = quiet(service)
    replica.start()
    told(replica, "serving")
    told(replica, "reading partitions")  # in any order
    replica.wait_until_serving()
    begin = len(replica.lines())
    breakable_valkey.kill()
    line = told(replica, "Redis does not answer", begin)
    replica.wait_until_not_serving()
    breakable_valkey.start()
    told(replica, "serving again", begin)
    told(replica, "Redis answers again", begin)
    events = events_of(replica, begin)
    assert len(events) <= 10
    assert_nothing_said_twice(replica, begin)
    assert [line for line in replica.lines()[begin:] if line["event"] not in EXPECTED] == []
    assert line["reason"].endswith("refuses the connection: no server listens there.")


def test_a_kafka_that_is_killed(service: StartService, breakable_kafka: KafkaServer) -> None:
    """Before, the first line came after half a minute, and raw lines of librdkafka with it."""
    replica = quiet(service)
    replica.start()
    told(replica, "serving")
    told(replica, "reading partitions")  # in any order
    replica.wait_until_serving()
    begin = len(replica.lines())
    breakable_kafka.kill()
    line = told(replica, "Kafka does not answer", begin)
    assert line["reason"].startswith(f"{breakable_kafka.bootstrap} ")
    told(replica, "not serving", begin)
    breakable_kafka.start()
    told(replica, "serving again", begin)
    events = events_of(replica, begin)
    assert len(events) <= 10
    assert events.index("Kafka does not answer") < events.index("not serving")
    assert_nothing_said_twice(replica, begin)


# --- metrics ---


def page_of(replica: Service) -> str:
    return replica.get("/metrics")[1]


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_metrics_answer_while_redis_does_not(
    service: StartService, breakable_valkey: ValkeyServer, how: str
) -> None:
    replica = quiet(service)
    replica.start()
    for figure in ("scheduling_jobs_waiting", 'scheduling_runs_unanswered{type="other"}'):
        eventually(
            lambda figure=figure: f"\n{figure} 0.0\n" in page_of(replica),  # type: ignore[misc]
            what=figure,
        )
    if how == "killed":
        breakable_valkey.kill()
    else:
        breakable_valkey.pause()
    eventually(lambda: "\nscheduling_serving 0.0\n" in page_of(replica), what="not serving")
    assert "scheduling_build_info{" in page_of(replica)
    eventually(  # figures are shown again for a second
        lambda: "scheduling_jobs_waiting" not in page_of(replica),
        what="no figures of Redis",
    )
    breakable_valkey.restore()
    replica.wait_until_serving()
    eventually(
        lambda: "\nscheduling_jobs_waiting 0.0\n" in page_of(replica),
        what="figures of Redis",
    )
