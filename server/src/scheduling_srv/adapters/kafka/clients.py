"""Kafka clients that say why a broker does not answer.

librdkafka's calls end with one text for every fault (`Local: Broker transport failure`). Only its
callbacks tell which broker it is and why, so each client that is polled gets them here. They share
one record for each cluster: one client finds out, and the others know as well.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias, TypeVar
from weakref import WeakSet

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from scheduling_srv.adapters.kafka.errors import error_of, fatal_errors
from scheduling_srv.domain.errors import LogUnavailable

Config: TypeAlias = Mapping[str, str | int | float | bool]
Client = TypeVar("Client", Producer, AdminClient)

log = structlog.get_logger(__name__)

MOST_BROKERS = 16
"""Brokers that are remembered: clusters have hundreds, and one sentence names a few."""
NAMED = 3
"""Brokers that a sentence names."""
LASTS_SECONDS = 60.0
"""Seconds after which a fault is forgotten: librdkafka repeats lasting faults every second."""
SPECIFIC_SECONDS = 5.0
"""Seconds for which a bare "has closed the connection" does not replace a reason that says more."""
LONGEST_REASON = 200
"""Characters."""
SOON_SECONDS = 0.25
"""Seconds after which a question ends if all brokers are known to be away."""
POLL_SECONDS = 0.5
"""Seconds between two times that clients without a loop of their own are polled."""
QUIET_LEVEL = 6
"""librdkafka's log level that tells of closed connections; only `Brokers` reads those lines."""
EVERYTHING = 7
"""librdkafka's log level of the lines that the property `debug` asks for."""
SERIOUS = 2
"""librdkafka's log level up to which a line is passed on unless the operator asks for more."""

RAISED = frozenset({"FAIL", "FATAL", "TXNERR"})
"""Lines about errors that a call raises as well, or about a client that was thrown away."""

NO_ANSWER = frozenset(
    {
        KafkaError._TRANSPORT,  # noqa: SLF001 - these are its public names
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._SSL,  # noqa: SLF001
        KafkaError._AUTHENTICATION,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._TIMED_OUT_QUEUE,  # noqa: SLF001
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001
        KafkaError._WAIT_COORD,  # noqa: SLF001
    }
)
"""Errors of a call that mean: no broker has answered. Why is in `Brokers`."""

CLOSED = "has closed the connection"
CLOSES = "closes the connection at once: it may expect TLS or SASL (security.protocol)"
NO_TLS = "does not speak TLS, which security.protocol asks for"

_REASONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"connection refused", "refuses the connection: no server listens there"),
        (r"failed to resolve", "has a host name that cannot be resolved"),
        (r"certificate has expired", "shows a certificate that has expired"),
        (
            r"alert certificate expired",
            "refuses this client's certificate: it has expired (ssl.certificate.location)",
        ),
        (
            r"certificate verify failed|certificate could not be verified",
            "shows a certificate that cannot be verified: check ssl.ca.location and the host name",
        ),
        (
            r"alert (?:certificate (?:required|unknown)|bad|unknown ca|decrypt)|not return a cert",
            "refuses this client's certificate: check ssl.certificate.location",
        ),
        (r"PLAINTEXT broker listener|wrong version number|packet length too long", NO_TLS),
        (
            r"SASL.*(?:unsupported|mechanism handshake failed).*",
            "does not take this SASL mechanism: check sasl.mechanism",
        ),
        (r"SASL.*(?:invalid_token|OAUTHBEARER)", "refuses the token (SASL OAUTHBEARER)"),
        (r"SASL authentication error", "refuses the user or the password (SASL)"),
        (r"timed out|timeout", "does not answer in time"),
        (r"no route to host|network is unreachable|host is down", "cannot be reached: no route"),
        (
            r"invalid (?:response|message|frame) size",
            "does not speak Kafka: it may be a TLS port or another server",
        ),
        (r"SSL_HANDSHAKE.*disconnected|disconnected.*SSL_HANDSHAKE", NO_TLS),
        (r"(?:disconnected|closed|reset|failed).*in state (?:APIVERSION|AUTH|SASL)", CLOSES),
        # A SASL port introduces itself to a client without SASL, and closes at the next request.
        (r"(?:disconnected|closed|reset).*after \d{1,3}ms in state UP", CLOSES),
        (r"disconnected|closed by peer|reset by peer|broken pipe", CLOSED),
    )
)
"""librdkafka's words and ours, first match first. A text that none matches is shown as it is."""
_VAGUE = frozenset({CLOSED, CLOSES})
_ABOUT = re.compile(
    r"^(?:\[thrd:[^\]]*\]: )?(?:\w+: )?(?:\w+://)?(?P<address>[^\s/]+:\d+)"
    r"(?:/[\w-]+)?: (?P<text>.*)$",
    re.DOTALL,
)
_AFTER = re.compile(r" \(after \d+ms in state .*\)$")


class Trouble(NamedTuple):
    """Why a broker does not answer, as the end of a sentence that begins with its address."""

    reason: str
    at: float
    """By `monotonic`."""

    def says_more(self, now: float) -> bool:
        """Than that the connection was closed, which often follows."""
        return self.reason not in _VAGUE and now - self.at < SPECIFIC_SECONDS


class Brokers:
    """The last fault of each broker of a cluster. Callbacks come in the thread that polls."""

    def __init__(
        self, bootstrap: str = "", *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.bootstrap = bootstrap
        self.monotonic = monotonic
        self.listeners: list[Callable[[], None]] = []
        """Called in any thread when a broker that answered begins to fail."""
        self._all_away = float("-inf")
        """When a client has found all of them away."""
        self._lock = threading.Lock()
        self._troubles: dict[str, Trouble] = {}

    def told(self, error: KafkaError) -> None:
        """The `error_cb` of a client."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - its public name
            self._all_away = self.monotonic()
        self.note(error.str())

    def note(self, text: str) -> None:
        """Note librdkafka's text about a broker; texts about none are ignored."""
        about = _ABOUT.match(text)
        if not about:
            return
        address, reason, now = about["address"], in_words(about["text"]), self.monotonic()
        with self._lock:
            known = self._fresh(now).get(address)
            if known and reason in _VAGUE and known.says_more(now):
                return
            if known or len(self._troubles) < MOST_BROKERS:
                self._troubles[address] = Trouble(reason, now)
        if not known:
            for tell in self.listeners:
                tell()

    def answered(self, broker: str) -> None:
        """This broker (`host:port`, or librdkafka's name of it) has answered."""
        with self._lock:
            self._troubles.pop(broker.partition("://")[2].partition("/")[0], None)
            self._troubles.pop(broker.partition("/")[0], None)
            self._all_away = float("-inf")

    def all_away_since(self, instant: float) -> bool:
        """Whether a client has found all brokers away since then (by `monotonic`)."""
        return self._all_away >= instant

    def sentence(self) -> str:
        """Addresses and reasons; the addresses of the settings if no callback has told any."""
        with self._lock:
            troubles = dict(self._fresh(self.monotonic()))
        if not troubles:
            return f"{self.bootstrap or 'the broker'} does not answer in time"
        addresses: dict[str, list[str]] = {}
        for address, trouble in sorted(troubles.items())[:NAMED]:
            addresses.setdefault(trouble.reason, []).append(address)
        parts = [f"{', '.join(names)} {reason}" for reason, names in addresses.items()]
        if len(troubles) > NAMED:
            parts.append(f"{len(troubles) - NAMED} more do not answer either")
        return "; ".join(parts)

    def _fresh(self, now: float) -> dict[str, Trouble]:
        old = [name for name, trouble in self._troubles.items() if now - trouble.at > LASTS_SECONDS]
        for name in old:
            del self._troubles[name]
        return self._troubles


def in_words(text: str) -> str:
    """Return librdkafka's text about a broker in an operator's words."""
    for pattern, reason in _REASONS:
        if pattern.search(text):
            return reason
    return f"fails: {_AFTER.sub('', ' '.join(text.split()))[:LONGEST_REASON]}"


# --- Clients --------------------------------------------------------------------------------------

_clusters: dict[str, Brokers] = {}
_clusters_lock = threading.Lock()


def brokers_of(config: Config) -> Brokers:
    """The record of the cluster that the properties lead to."""
    bootstrap = str(config.get("bootstrap.servers", ""))
    with _clusters_lock:
        return _clusters.setdefault(bootstrap, Brokers(bootstrap))


def said(fault: BaseException, config: Config) -> str:
    """The failure of a call as a sentence, with the reason if no broker has answered."""
    error = error_of(fault)
    if error is None:
        reason = str(fault).rstrip(".")
        return f"Kafka does not answer: {reason}." if reason else "Kafka does not answer in time."
    if error.code() in NO_ANSWER:
        return f"Kafka does not answer: {brokers_of(config).sentence()}."
    return f"Kafka answers with an error: {error.str().rstrip('.')}."


def unavailable(fault: BaseException, config: Config) -> LogUnavailable:
    """The error for a call that has failed."""
    return LogUnavailable(said(fault, config))


def ask(client: AdminClient, config: Config, topic: str, seconds: float) -> None:
    """Return when a broker has answered.

    Raises `KafkaException` after so long, or soon if all brokers are known to be away: librdkafka
    would go on trying to the end.
    """
    brokers, began = brokers_of(config), time.monotonic()
    soon = min(SOON_SECONDS, seconds)
    for patience in (soon, seconds - soon):
        try:
            found: Any = client.list_topics(topic, timeout=patience)
        except KafkaException:
            hear(client)  # the reason waits there
            if patience != soon or brokers.all_away_since(began - SOON_SECONDS):
                raise
        else:
            brokers.answered(found.orig_broker_name or "")
            return


def make_producer(config: Config, *, polled: bool = True) -> Producer:
    """A producer. With `polled` this module polls it every half second.

    A producer whose thread waits for deliveries must not be polled from another thread.
    """
    if not polled:
        return Producer(_with_log(config))
    return _polled(_Producer(_with_callbacks(config)))


def make_admin(config: Config) -> AdminClient:
    """An admin client."""
    return _polled(AdminClient(_with_callbacks(config)))


def make_consumer(config: Config, *, polled: bool) -> Consumer:
    """A consumer. `polled`: its user polls it as long as it lives."""
    return Consumer(_with_callbacks(config) if polled else _with_log(config))


class _Producer(Producer):
    """One that can be referred to weakly."""


def _with_log(config: Config) -> dict[str, Any]:
    """No line on standard error, and no fault reports: they would pile up until a poll."""
    wanted = EVERYTHING if config.get("debug") else int(config.get("log_level", SERIOUS))
    return {**config, "log_level": wanted, "logger": _Lines(brokers_of(config), wanted)}


def _with_callbacks(config: Config) -> dict[str, Any]:
    properties = _with_log(config)
    return {
        **properties,
        "log_level": max(properties["log_level"], QUIET_LEVEL),
        "error_cb": brokers_of(config).told,
    }


class _Lines(logging.Logger):
    """Receives librdkafka's log: reasons go to `Brokers`, lines that were asked for to our log."""

    def __init__(self, brokers: Brokers, wanted: int) -> None:
        super().__init__(__name__)
        self._brokers = brokers
        self._all = wanted > SERIOUS
        self._least = _LEVELS[max(0, min(wanted, len(_LEVELS) - 1))]

    def log(self, level: int, msg: object, *args: object, **_more: Any) -> None:  # noqa: ANN401
        """A line: facility, name of the client, text. Never raises: librdkafka would drop it."""
        facility, client, text = (*map(str, args), "", "", "")[:3]
        if facility == "FAIL":
            self._brokers.note(text)
        if level >= self._least and (facility not in RAISED or self._all):
            # Show the lines that the operator asked for; others are at most warnings.
            level = min(max(level, logging.INFO), logging.WARNING)
            log.log(level, "Kafka client", facility=facility, client=client, text=text or str(msg))


_LEVELS = (50, 50, 50, 40, 30, 20, 20, 10)
"""librdkafka's levels in those of Python, as confluent_kafka translates them."""

_clients: WeakSet[Any] = WeakSet()
_clients_lock = threading.Lock()
_poller: threading.Thread | None = None


def _polled(client: Client) -> Client:
    global _poller  # noqa: PLW0603 - one thread for all clients of the process
    with _clients_lock:
        _clients.add(client)
        if _poller is None:
            _poller = threading.Thread(target=_poll_all, name="kafka-callbacks", daemon=True)
            _poller.start()
    return client


def _poll_all() -> None:
    """Librdkafka hands callbacks out when a client is polled: without, they would pile up."""
    while True:
        time.sleep(POLL_SECONDS)
        with _clients_lock:
            clients = list(_clients)
        for client in clients:
            hear(client)
        del clients
        client = None


def hear(client: Any) -> None:  # noqa: ANN401 - an admin client or a producer
    """Receive the callbacks that wait."""
    try:
        with fatal_errors():
            client.poll(0)
    except (KafkaException, RuntimeError) as fault:  # fatal, or closed: its user is told as well
        log.debug("a Kafka client was not polled", reason=str(fault))
