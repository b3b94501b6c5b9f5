"""The types of settings. A ValueError ends the sentence that begins with the value."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Annotated, Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

from scheduling_client.schedules.durations import duration_text, parse_duration
from scheduling_client.schedules.texts import shown
from scheduling_srv.domain.json_objects import RepeatedName, without_repeats

_SET_ELSEWHERE = "bootstrap.servers metadata.broker.list client.id group.id".split()
"""They have settings of their own."""
_PROMISED = (
    "acks auto.commit.enable auto.offset.reset delivery.report.only.error delivery.timeout.ms"
    " enable.auto.commit enable.auto.offset.store enable.gapless.guarantee enable.idempotence"
    " enable.partition.eof isolation.level message.timeout.ms request.required.acks"
    " transactional.id"
).split()
"""The promises depend on how the service sets them."""
_LIMITS = "message.max.bytes queue.buffering.max.messages".split()
"""A batch of the outbox, and the largest job, must fit."""
_DEAF = "group.instance.id group.protocol group.remote.assignor".split()
"""With another protocol, or with one name for all replicas, the consumer would hear nothing."""
_CODE = "error_cb logger oauth_cb on_commit on_delivery stats_cb throttle_cb".split()
"""They need code, not text."""
OURS = frozenset([*_SET_ELSEWHERE, *_PROMISED, *_LIMITS, *_DEAF, *_CODE])
"""Properties of librdkafka that an operator may not set, aliases included."""
ASSIGNORS = frozenset({"range", "roundrobin"})
"""Strategies under which all partitions of a member are assigned at once."""

REDIS_PARAMETERS = frozenset(
    {
        "client_name",
        "db",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_timeout",
        "ssl_ca_certs",
        "ssl_ca_data",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_ciphers",
        "ssl_keyfile",
        "ssl_min_version",
        "ssl_password",
    }
)
"""Parameters that a Redis URL may have. Others are unknown, or change how we talk to Redis."""

_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.%a-z]+\]|[^\s:\[\]/,]+):(?P<port>[0-9]{1,5})")
MOST_TYPES = 100
"""Types of jobs that may have a label in metrics."""
_NAME = re.compile(r"[a-zA-Z0-9._-]{1,200}")
_LARGEST_PORT = 65535


def _milliseconds(value: object) -> int:
    return parse_duration(str(value))


def is_duration(metadata: Sequence[object]) -> bool:
    """Whether a field with this metadata is a duration."""
    return any(getattr(each, "func", None) is _milliseconds for each in metadata)


def between(least: str, most: str) -> AfterValidator:
    """Refuses durations that are not between the two."""
    least_ms, most_ms = parse_duration(least), parse_duration(most)

    def check(value: int) -> int:
        if not least_ms <= value <= most_ms:
            bounds = f"{duration_text(least_ms)} and {duration_text(most_ms)}"
            raise ValueError(f"is not between {bounds}")
        return value

    return AfterValidator(check)


def _is_address(value: str) -> bool:
    found = _ADDRESS.fullmatch(value)
    return found is not None and int(found["port"]) <= _LARGEST_PORT


def _address(value: str) -> str:
    if not _is_address(value):
        raise ValueError("is not an address such as '127.0.0.1:50054'")
    return value


def _address_or_off(value: str) -> str:
    if value != "off" and not _is_address(value):
        raise ValueError("is not an address such as '127.0.0.1:8080', nor 'off'")
    return value


def _servers(value: str) -> str:
    servers = [each.strip() for each in value.split(",")]
    for server in servers:
        if not _is_address(server.rpartition("://")[2]):
            one = f": {shown(server)} is none" if len(servers) > 1 else ""
            raise ValueError(
                f"is not one or more addresses of Kafka such as 'kafka-1:9092,kafka-2:9092'{one}"
            )
    return ",".join(servers)


def _redis_url(value: str) -> str:
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError:
        url = urlsplit("")
    database = url.path.removeprefix("/")
    if url.scheme not in ("redis", "rediss") or not url.hostname or not f"{database}0".isdecimal():
        raise ValueError("is not a URL such as 'redis://127.0.0.1:6379/0'")
    _check_parameters(url)
    return value


def _check_parameters(url: SplitResult) -> None:
    given = parse_qs(url.query, keep_blank_values=True)
    for name, values in given.items():
        if name not in REDIS_PARAMETERS:
            known = ", ".join(sorted(REDIS_PARAMETERS))
            raise ValueError(f"may not have the parameter {shown(name)}: known are {known}")
        if name.startswith("ssl_") and url.scheme != "rediss":
            raise ValueError(f"has the parameter {name}, which only a rediss:// URL may have")
        if len(values) > 1 or not values[0]:
            raise ValueError(f"has to have the parameter {name} once and with a value")
    if not given.get("db", ["0"])[0].isdecimal():
        raise ValueError("has to have a number as the parameter db")
    for name in ("socket_timeout", "socket_connect_timeout"):
        if not _is_sensible(given.get(name, ["1"])[0]):
            raise ValueError(f"has to have 0.1 to 60 (seconds) as the parameter {name}")


def _jwt_keys(value: str) -> str:
    """A path, or an address that cannot be changed on the way."""
    if "://" not in value:
        return value
    url = urlsplit(value)
    local = url.hostname in ("127.0.0.1", "::1", "localhost")
    if not url.hostname or url.scheme not in ("https", "http"):
        raise ValueError("is neither a file nor an address such as 'https://login.example/keys'")
    if url.scheme == "http" and not local:
        raise ValueError("has to be https: anybody on the way could put in keys of their own")
    return value


def _is_sensible(seconds: str) -> bool:
    try:
        return 0.1 <= float(seconds) <= 60  # noqa: PLR2004 - the sentence says them
    except ValueError:
        return False


def _name(value: str) -> str:
    if not _NAME.fullmatch(value) or value in (".", ".."):
        raise ValueError("is not a name of at most 200 letters, digits, dots, dashes, underscores")
    return value


def _kafka_options(value: object) -> object:
    if isinstance(value, str):
        try:
            value = json.loads(value, object_pairs_hook=without_repeats)
        except RepeatedName:
            raise
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, dict) or not all(map(_is_plain, value.values())):
        raise ValueError("is not a JSON object of texts, numbers and booleans")
    ours = sorted(OURS.intersection(value))
    if ours:
        raise ValueError(f"may not hold {ours[0]}: this service decides about it")
    strategy = str(value.get("partition.assignment.strategy", "range"))
    if not ASSIGNORS.issuperset(each.strip() for each in strategy.split(",")):
        raise ValueError(
            f"may not hold partition.assignment.strategy={strategy}: range or roundrobin is needed"
        )
    return value


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _services(value: object) -> object:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise ValueError("is not a list of names")
    stripped = tuple(name.strip() for name in names)
    if not stripped or not all(stripped):
        raise ValueError("is not a list of names")
    return stripped


def _networks(value: object) -> object:
    """Addresses and networks, as texts that `ipaddress` reads."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise ValueError("is not a list of addresses")
    stripped = tuple(name.strip() for name in names if name.strip())
    for name in stripped:
        try:
            ip_network(name)
        except ValueError:
            raise ValueError(f"names {name!r}, which is no address such as '10.0.0.0/8'") from None
    return stripped


def _types(value: object) -> object:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise ValueError("is not a list of types")
    stripped = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if len(stripped) > MOST_TYPES:
        raise ValueError(f"names more than {MOST_TYPES} types: each is a time series of its own")
    return stripped


Milliseconds = Annotated[int, BeforeValidator(_milliseconds)]
Address = Annotated[str, AfterValidator(_address)]
AdminAddress = Annotated[str, AfterValidator(_address_or_off)]
Servers = Annotated[str, AfterValidator(_servers)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
Name = Annotated[str, AfterValidator(_name)]
KafkaOptions = Annotated[
    dict[str, str | int | float | bool], NoDecode, BeforeValidator(_kafka_options)
]
Services = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_services)]
JwtKeys = Annotated[str, AfterValidator(_jwt_keys)]
Types = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_types)]
Networks = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_networks)]
Delivery = Literal["exactly_once", "at_least_once"]
