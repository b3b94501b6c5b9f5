"""Why a broker does not answer: from librdkafka's callbacks to one sentence."""

import gc
import logging
import socket
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import KafkaError, KafkaException
from structlog.testing import capture_logs

from scheduling_srv.adapters.kafka import clients as kafka_clients
from scheduling_srv.adapters.kafka.clients import (
    MOST_BROKERS,
    NO_TLS,
    Brokers,
    ask,
    brokers_of,
    make_admin,
)
from tests.harness.waiting import eventually

AFTER = "(after 2ms in state CONNECT)"
REFUSED = f"h:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused {AFTER}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (REFUSED, "h:9092 refuses the connection: no server listens there"),
        (
            f"h:9092/1: Failed to resolve 'h:9092': Name or service not known {AFTER}",
            "h:9092 has a host name that cannot be resolved",
        ),
        (
            (
                "ssl://h:9093/bootstrap: SSL handshake failed: error:0A000086:::certificate"
                " verify failed: broker certificate could not be verified (after 5ms in state"
                " SSL_HANDSHAKE)"
            ),
            (
                "h:9093 shows a certificate that cannot be verified: check ssl.ca.location and the"
                " host name"
            ),
        ),
        (
            (
                "ssl://h:9092/bootstrap: SSL handshake failed: Disconnected: to a PLAINTEXT"
                " broker listener? (after 1ms in state SSL_HANDSHAKE)"
            ),
            f"h:9092 {NO_TLS}",
        ),
        (
            (
                "sasl_ssl://[::1]:9094/2: SASL authentication error: Failed (after 301ms"
                " in state AUTH_REQ)"
            ),
            "[::1]:9094 refuses the user or the password (SASL)",
        ),
        (
            (
                "h:9093/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN"
                " (after 0ms in state APIVERSION_QUERY)"
            ),
            "h:9093 closes the connection at once: it may expect TLS or SASL (security.protocol)",
        ),
        (
            "[thrd:h:9092/bootstrap]: h:9092/1: Disconnected (after 9871ms in state UP)",
            "h:9092 has closed the connection",
        ),
        (
            "GroupCoordinator: h:9092: Connection setup timed out in state CONNECT",
            "h:9092 does not answer in time",
        ),
        (
            "h:6379/bootstrap: Receive failed: Invalid response size 1213486160 (0..100000000)",
            "h:6379 does not speak Kafka: it may be a TLS port or another server",
        ),
        (f"h:9092/1: The moon is full {AFTER}", "h:9092 fails: The moon is full"),
    ],
)
def test_librdkafka_in_words(text: str, sentence: str) -> None:
    brokers = Brokers("h:9092")
    brokers.note(text)
    assert brokers.sentence() == sentence
    assert not sentence.endswith((".", "?"))  # a full stop follows


def test_without_a_callback_the_settings_name_the_address() -> None:
    brokers = Brokers("h:9092,i:9092")
    brokers.note("1/1 brokers are down")
    assert brokers.sentence() == "h:9092,i:9092 does not answer in time"


def test_equal_reasons_are_said_once_and_few_brokers_are_named() -> None:
    brokers = Brokers()
    for name in "abcde":
        brokers.note(REFUSED.replace("h:", f"{name}:", 1))
    assert brokers.sentence() == (
        "a:9092, b:9092, c:9092 refuses the connection: no server listens there; 2 more do not"
        " answer either"
    )


def test_a_closed_connection_does_not_hide_why() -> None:
    time = 0.0
    brokers = Brokers(monotonic=lambda: time)
    brokers.note("h:1/1: SASL authentication error: no")
    brokers.note("h:1/1: Disconnected (after 1ms in state AUTH_REQ)")
    assert "password" in brokers.sentence()
    time = 6.0
    brokers.note("h:1/1: Disconnected (after 1000ms in state UP)")
    assert brokers.sentence() == "h:1 has closed the connection"


def test_it_is_forgotten_when_the_broker_answers_or_after_a_while() -> None:
    time = 0.0
    brokers, said = Brokers("settings:1", monotonic=lambda: time), list[str]()
    brokers.listeners.append(lambda: said.append("told"))
    brokers.note(REFUSED)
    brokers.note(REFUSED)
    assert said == ["told"]
    brokers.answered("sasl_ssl://h:9092/1")
    assert brokers.sentence() == "settings:1 does not answer in time"
    brokers.note(REFUSED)
    assert said == ["told", "told"]
    time = 61.0
    assert brokers.sentence() == "settings:1 does not answer in time"


def test_the_record_is_bounded() -> None:
    brokers = Brokers()
    for number in range(2 * MOST_BROKERS):
        brokers.note(REFUSED.replace("h:9092", f"h:{number}", 1))
    assert brokers.sentence().endswith(f"{MOST_BROKERS - 3} more do not answer either")


def test_other_errors_keep_their_words() -> None:
    refused = KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "no right."))
    assert kafka_clients.said(refused, {}) == "Kafka answers with an error: no right."
    assert kafka_clients.said(TimeoutError(), {}) == "Kafka does not answer in time."
    away = KafkaException(KafkaError(KafkaError._TRANSPORT))
    assert kafka_clients.said(away, {"bootstrap.servers": "never:1"}) == (
        "Kafka does not answer: never:1 does not answer in time."
    )


# --- with librdkafka ---


@contextmanager
def listener(answer: bytes | None) -> Iterator[str]:
    """A port that answers the first bytes with these, and closes; None: it only closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    if answer is not None and connection.recv(1000):
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def why(bootstrap: str, **more: str) -> str:
    """What is said of a cluster that does not answer."""
    config = {"bootstrap.servers": bootstrap, **more}
    admin = make_admin(config)
    with pytest.raises(KafkaException) as fault:
        ask(admin, config, "t", 0.9)
    return kafka_clients.said(fault.value, config)


def test_a_refused_port() -> None:
    assert why("127.0.0.1:1") == (
        "Kafka does not answer: 127.0.0.1:1 refuses the connection: no server listens there."
    )


def test_a_wrong_host_name() -> None:
    assert why("no-such-host.invalid:9092") == (
        "Kafka does not answer: no-such-host.invalid:9092 has a host name that cannot be resolved."
    )


def test_a_port_that_is_closed_at_once() -> None:
    with listener(None) as address:
        assert f"{address} closes the connection at once" in why(address)


def test_tls_on_a_port_that_does_not_speak_it() -> None:
    with listener(b"\0\0\0\4what") as address:
        assert f"{address} does not speak TLS" in why(address, **{"security.protocol": "ssl"})


def test_clients_that_nobody_polls_hear_of_troubles_and_are_let_go() -> None:
    config = {"bootstrap.servers": "127.0.0.1:2"}
    admin = make_admin(config)
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=0.1)
    eventually(lambda: "refuses" in brokers_of(config).sentence(), what="a poll")
    known = weakref.ref(admin)
    del admin
    gc.collect()
    eventually(lambda: known() is None, what="an end")


def test_lines_of_librdkafka_are_lines_of_our_log() -> None:
    """Those that the operator asks for: the others are there to be read by us."""
    lines = kafka_clients._Lines(Brokers(), 4)
    with capture_logs() as said:
        lines.log(logging.INFO, "%s [%s] %s", "FAIL", "client", REFUSED)
        lines.log(logging.WARNING, "%s [%s] %s", "MAXPOLL", "client", "too slow")
    assert [(line["log_level"], line["text"]) for line in said] == [("warning", "too slow")]
    properties = kafka_clients._with_log({"debug": "broker", "log_level": 2})
    with capture_logs() as said:
        properties["logger"].log(logging.DEBUG, "%s [%s] %s", "SEND", "client", "bytes")
    assert [(line["log_level"], line["text"]) for line in said] == [("info", "bytes")]
    lines = kafka_clients._Lines(Brokers(), 2)
    with capture_logs() as said:
        lines.log(logging.CRITICAL, "%s [%s] %s", "FATAL", "client", "fenced")
        lines.log(logging.CRITICAL, "%s [%s] %s", "OTHER", "client", "too slow")
    assert [(line["log_level"], line["text"]) for line in said] == [("warning", "too slow")]
