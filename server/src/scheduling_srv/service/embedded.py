"""`--embedded`: the service brings its own Valkey and broker, for a first look."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path

from scheduling_srv.adapters.embedded.broker import EmbeddedBroker
from scheduling_srv.adapters.embedded.forward import HOST, Forwarder, PortTaken
from scheduling_srv.adapters.embedded.valkey import EmbeddedValkey
from scheduling_srv.domain.errors import StartError
from scheduling_srv.settings.model import Settings

DEFAULT_PORT = 9092
"""The port at which clients look for Kafka by default."""

KAFKA_OPTIONS = {
    "log_level": 2,
    "fetch.wait.max.ms": 20,  # this broker does not answer earlier when a record arrives
    "session.timeout.ms": 6_000,
}


async def start_embedded(
    stack: AsyncExitStack, settings: Settings, data_dir: Path | None
) -> tuple[Settings, Coroutine[None, None, None]]:
    """Start both, to be stopped with `stack`.

    Returns settings that lead to them, and a coroutine that raises `StartError` when one of them
    ends by itself. Raises `StartError`.
    """
    directory = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
    valkey = await stack.enter_async_context(EmbeddedValkey(directory / "valkey"))
    broker = stack.enter_context(EmbeddedBroker(_topics(settings)))
    for name in ("journal", "position", "events"):
        broker.create_topic(f"{settings.namespace}.{name}", settings.shards)
    address, note = await _open_port(stack, settings.embedded_kafka_port, broker.bootstrap)
    kept = f"kept in {directory}" if data_dir else "gone when this process ends: see --data-dir"
    sys.stderr.write(
        f"embedded Valkey  {valkey.url}  (jobs are {kept})\n"
        f"embedded broker  {address}  (for trying out: its records are in memory, and "
        f"its transactions are not real ones)\n{note}"
    )
    return settings.model_copy(
        update={
            "redis_url": valkey.url,
            "redis_password": None,
            "kafka_bootstrap_servers": broker.bootstrap,
            "kafka_options": {**KAFKA_OPTIONS, **settings.kafka_options},
        }
    ), _until_ended(valkey)


async def _until_ended(valkey: EmbeddedValkey) -> None:
    code = await valkey.exited()
    raise StartError(f"The embedded Valkey has ended with exit code {code}. See {valkey.log}.")


async def _open_port(stack: AsyncExitStack, wanted: int | None, broker: str) -> tuple[str, str]:
    """The address for clients, and a line about it if the default port is taken.

    Raises `StartError` if a port that was asked for is taken.
    """
    if wanted == 0:
        return broker, ""
    port = wanted or DEFAULT_PORT
    try:
        await stack.enter_async_context(Forwarder(port, broker))
    except PortTaken as fault:
        if wanted:
            msg = f"SCHEDULING_EMBEDDED_KAFKA_PORT: another program has the port {port}."
            raise StartError(msg) from fault
        return broker, (
            f"Another program has the port {port}. For clients and workers, set "
            f"SCHEDULING_KAFKA_BOOTSTRAP_SERVERS={broker}\n"
            "To choose the port, set SCHEDULING_EMBEDDED_KAFKA_PORT.\n"
        )
    return f"{HOST}:{port}", ""


def _topics(settings: Settings) -> list[str]:
    return [
        settings.topic_jobs,
        settings.topic_resources,
        settings.topic_commands,
        settings.topic_dead_letter,
    ]
