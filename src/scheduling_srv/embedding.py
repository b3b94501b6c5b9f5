"""`--embedded`: the service brings its own Valkey and broker, for a first look."""

from __future__ import annotations

import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from scheduling_srv.adapters.embedded.broker import EmbeddedBroker
from scheduling_srv.adapters.embedded.valkey import EmbeddedValkey
from scheduling_srv.settings import Settings

KAFKA_OPTIONS = {
    "log_level": 2,
    "fetch.wait.max.ms": 20,  # this broker does not answer earlier when a record arrives
    "session.timeout.ms": 6_000,
}


async def start_embedded(
    stack: AsyncExitStack, settings: Settings, data_dir: Path | None
) -> Settings:
    """Start both, to be stopped with `stack`; returns settings that lead to them.

    Raises `StartError`.
    """
    directory = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
    valkey = await stack.enter_async_context(EmbeddedValkey(directory / "valkey"))
    broker = stack.enter_context(EmbeddedBroker(_topics(settings)))
    for name in ("journal", "position"):
        broker.create_topic(f"{settings.namespace}.{name}", settings.shards)
    kept = f"kept in {directory}" if data_dir else "gone when this process ends: see --data-dir"
    sys.stderr.write(
        f"embedded Valkey  {valkey.url}  (jobs are {kept})\n"
        f"embedded broker  {broker.bootstrap}  (for trying out: its records are in memory, and "
        "its transactions are not real ones)\n"
    )
    return settings.model_copy(
        update={
            "redis_url": valkey.url,
            "redis_password": None,
            "kafka_bootstrap_servers": broker.bootstrap,
            "kafka_options": {**KAFKA_OPTIONS, **settings.kafka_options},
        }
    )


def _topics(settings: Settings) -> list[str]:
    return [
        settings.topic_jobs,
        settings.topic_resources,
        settings.topic_commands,
        settings.topic_dead_letter,
    ]
