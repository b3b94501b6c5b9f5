"""A worker in a process of its own that counts its runs. Tests kill it at any moment.

Its settings are the JSON of the variable SETTINGS: a fork server starts it.
"""

import asyncio
import json
import os

from sqlalchemy import create_engine, text

from scheduling_client.worker import RedisStore, Run, SQLiteStore, Store, Worker
from scheduling_client.worker import engine as _imported_before_the_fork  # noqa: F401

SETTINGS = "COUNTING_WORKER"


def store_of(given: str) -> Store | None:
    """`memory`, `sqlite:PATH` or `redis:URL`."""
    name, _, where = given.partition(":")
    if name == "sqlite":
        return SQLiteStore(where)
    return RedisStore.from_url(where) if name == "redis" else None


def main() -> int:
    """Work until SIGTERM."""
    return work(**json.loads(os.environ[SETTINGS]))


def work(
    *, name: str, kafka: str, topic: str, kind: str, store: str, log: str = "", database: str = ""
) -> int:
    """Count in the file `log`, a line for each call, or in a table of `database`."""
    worker = Worker(
        name,
        kafka=kafka,
        topic=topic,
        store=store_of(store),
        kafka_options={"reconnect.backoff.max.ms": 200},
    )
    if database:
        engine = create_engine(database)

        @worker.job(kind, concurrency=8)
        def count(run: Run) -> None:
            with run.transaction(engine) as connection:
                effect = {"occurrence": run.occurrence_id}
                connection.execute(text("INSERT INTO effects VALUES (:occurrence)"), effect)

    else:
        lines = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

        @worker.job(kind, concurrency=8)
        async def count_lines(run: Run) -> None:
            os.write(lines, f"{run.occurrence_id}\n".encode())
            await asyncio.sleep(0.001)

    return worker.run()
