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
_REFUSAL = (
    "The connection commits each statement by itself, or does not tell: a crash would lose the run."
    " Turn its autocommit off."
)
_made: set[tuple[str, str]] = set()
_making = threading.Lock()


def create_table_sql(table: str = TABLE) -> str:
    """The statement that makes the table: for migrations. `transaction` runs it if need be."""
    return _CREATE.format(table=_checked(table))


@contextmanager
def transaction(engine: Any, occurrence: str, table: str = TABLE) -> Iterator[Any]:  # noqa: ANN401
    """A transaction that commits once for `occurrence`. Raises `AlreadyDone` the next time.

    A run without an occurrence id has none of this protection: `WorkerError`. Nor has a connection
    that commits each statement by itself: the id would stay without the changes.
    """
    if not occurrence:
        raise WorkerError("The run has no occurrence-id: its producer is no scheduling service.")
    database = _SqlAlchemy(engine) if hasattr(engine, "begin") else _DbApi(engine)
    with database.begin(_checked(table)) as connection:
        if not database.insert(connection, _checked(table), occurrence):
            raise AlreadyDone(occurrence)
        yield connection


class _SqlAlchemy:
    """An Engine, or a sessionmaker: both begin."""

    def __init__(self, engine: Any) -> None:  # noqa: ANN401
        self._engine = engine

    def _make(self, table: str) -> None:
        bind = getattr(self._engine, "kw", {}).get("bind", self._engine)
        key = (str(getattr(bind, "url", id(bind))), table)
        with _making:
            if key not in _made:
                with self._engine.begin() as connection:
                    self._execute(connection, _CREATE.format(table=table))
                _made.add(key)

    @contextmanager
    def begin(self, table: str) -> Iterator[Any]:
        self._make(table)
        with self._engine.begin() as connection:
            of_session = callable(connection.connection)
            inner = connection.connection() if of_session else connection
            driver = inner.connection.dbapi_connection
            if _is_sqlite(driver):
                refused = driver.isolation_level is None and not driver.in_transaction
            else:
                refused = _commits_alone(driver) is True
            if refused:
                raise WorkerError(_REFUSAL)
            yield connection

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
        self._place = "?" if _is_sqlite(connection) else "%s"

    @contextmanager
    def begin(self, table: str) -> Iterator[Any]:
        """The table is made within: a commit before would be one of the user's changes too."""
        self._begin()
        try:
            self._connection.cursor().execute(_CREATE.format(table=table))
            yield self._connection
            self._end("commit")
        except BaseException:  # of the commit too: the next run shares the connection
            self._end("rollback")
            raise

    def _begin(self) -> None:
        connection = self._connection
        if not _is_sqlite(connection):
            if _commits_alone(connection) is not False:
                raise WorkerError(_REFUSAL)
        elif not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")

    def _end(self, word: str) -> None:
        getattr(self._connection, word)()
        if getattr(self._connection, "autocommit", None) is True:  # then sqlite3 leaves it open
            self._connection.execute(word)

    def insert(self, connection: Any, table: str, occurrence: str) -> bool:  # noqa: ANN401
        cursor = connection.cursor()
        cursor.execute(_INSERT.format(table=table, place=self._place), (occurrence,))
        return bool(cursor.rowcount == 1)


def _is_sqlite(connection: Any) -> bool:  # noqa: ANN401
    return any(each.__module__ == "sqlite3" for each in type(connection).__mro__)


def _commits_alone(connection: Any) -> bool | None:  # noqa: ANN401
    """Whether each statement commits by itself; None if the connection does not tell."""
    ask = getattr(connection, "get_autocommit", None)
    told = ask() if callable(ask) else getattr(connection, "autocommit", None)
    return told if isinstance(told, bool) else None


def _checked(table: str) -> str:
    if not _NAME.fullmatch(table):
        raise WorkerError(f"{table!r} is not the name of a table.")
    return table
