"""Refuses properties that librdkafka does not take, before anything is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from confluent_kafka import KafkaException

from scheduling_srv.domain.errors import StartError

Properties: TypeAlias = Mapping[str, str | int | float | bool]


class Client(NamedTuple):
    """A client as the service is going to make it."""

    make: Callable[[dict[str, str | int | float | bool]], object]
    properties: Properties


def check_options(options: Properties, clients: Sequence[Client]) -> None:
    """Make each client once, without a server to connect to.

    `options` are those of the operator: without any there is nothing to check. Raises `StartError`
    with the words of librdkafka.
    """
    if not options:
        return
    for client in clients:
        offline = {
            name: value for name, value in client.properties.items() if name != "bootstrap.servers"
        }
        try:
            client.make(offline)
        except KafkaException as fault:
            raise _refused(fault.args[0].str()) from fault
        except (TypeError, ValueError) as fault:
            raise _refused(str(fault)) from fault


def check_transactions(transactional: Properties, longest_ms: int | None) -> None:
    """Compare a producer's properties with the longest transaction that the brokers allow.

    `longest_ms` is their `transaction.max.timeout.ms`, None if it is not known. Raises
    `StartError`: the brokers would refuse every transaction.
    """
    timeout = transactional.get("transaction.timeout.ms")
    if timeout is None or longest_ms is None or int(timeout) <= longest_ms:
        return
    raise _refused(
        f"transaction.timeout.ms is {timeout}, and the brokers allow {longest_ms} at most"
        " (transaction.max.timeout.ms)"
    )


def _refused(reason: str) -> StartError:
    words = " ".join(reason.split()).rstrip(" .")
    return StartError(f"SCHEDULING_KAFKA_OPTIONS cannot be used: {words}.")
