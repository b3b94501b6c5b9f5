"""Handled runs in a table of the user's database, in the transaction of the user's changes."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scheduling_client.worker.errors import AlreadyDone, WorkerError

TABLE = "scheduling_handled_runs"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")
_CREATE = (
    "CREATE TABLE IF NOT EXISTS {table} (occurrence VARCHAR(700) PRIMARY KEY,"
    " handled_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)"
)
_INSERT = "INSERT INTO {table} (occurrence) VALUES ({place}) ON CONFLICT (occurrence) DO NOTHING"
_made: set[tuple[str, str]] = set()
_making = threading.Lock()


def create_table_sql(table: str = TABLE) -> str:
    """The statement that makes the table: for migrations. `transaction` runs it if need be."""
    return _CREATE.format(table=_checked(table))


@contextmanager
def transaction(engine: Any, occurrence: str, table: str = TABLE) -> Iterator[Any]:  # noqa: ANN401
    """A transaction that commits once for `occurrence`. Raises `AlreadyDone` the next time.

    A run without an occurrence id has none of this protection: `WorkerError`.
    """
    if not occurrence:
        raise WorkerError("The run has no occurrence-id: its producer is no scheduling service.")
    database = _SqlAlchemy(engine) if hasattr(engine, "begin") else _DbApi(engine)
    database.make(_checked(table))
    with database.begin() as connection:
        if not database.insert(connection, _checked(table), occurrence):
            raise AlreadyDone(occurrence)
        yield connection


class _SqlAlchemy:
    """An Engine, or a sessionmaker: both begin."""

    def __init__(self, engine: Any) -> None:  # noqa: ANN401
        self._engine = engine

    def make(self, table: str) -> None:
        bind = getattr(self._engine, "kw", {}).get("bind", self._engine)
        key = (str(getattr(bind, "url", id(bind))), table)
        with _making:
            if key not in _made:
                with self._engine.begin() as connection:
                    self._execute(connection, _CREATE.format(table=table))
                _made.add(key)

    def begin(self) -> Any:  # noqa: ANN401
        return self._engine.begin()

    def insert(self, connection: Any, table: str, occurrence: str) -> bool:  # noqa: ANN401
        sentence = _INSERT.format(table=table, place=":occurrence")
        done = self._execute(connection, sentence, {"occurrence": occurrence})
        return bool(done.rowcount == 1)

    @staticmethod
    def _execute(connection: Any, sentence: str, values: Any = None) -> Any:  # noqa: ANN401
        from sqlalchemy import text  # noqa: PLC0415 - the user brings it

        return connection.execute(text(sentence), values)


class _DbApi:
    """A connection of sqlite3, psycopg and the like (PEP 249)."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401
        self._connection = connection
        module = type(connection).__module__.partition(".")[0]
        self._place = "?" if module == "sqlite3" else "%s"

    def make(self, table: str) -> None:
        self._connection.cursor().execute(_CREATE.format(table=table))
        self._connection.commit()

    @contextmanager
    def begin(self) -> Iterator[Any]:
        try:
            yield self._connection
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()

    def insert(self, connection: Any, table: str, occurrence: str) -> bool:  # noqa: ANN401
        cursor = connection.cursor()
        cursor.execute(_INSERT.format(table=table, place=self._place), (occurrence,))
        return bool(cursor.rowcount == 1)


def _checked(table: str) -> str:
    if not _NAME.fullmatch(table):
        raise WorkerError(f"{table!r} is not the name of a table.")
    return table
