"""Stores of handled runs: how each one ended, by its occurrence id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from scheduling_client.occurrences import WEEK_SECONDS, Occurrences

MOST_IN_MEMORY = 1_000_000
"""Outcomes that a store in memory keeps, some 200 bytes each."""
Ends = Mapping[str, str | None]
"""Occurrence id -> None if the run is done, else its error as `Ended.to_store` writes it."""


class Store(Protocol):
    """What a worker needs to know about runs that have ended. All calls come from one thread."""

    blocking: bool
    """Whether calls take time: then they are made beside the event loop."""

    def open(self) -> None:
        """Called once in the thread of all later calls. Raises if the store cannot be had."""

    def known(self, occurrences: Sequence[str]) -> Ends:
        """The ends of those that have ended."""

    def note(self, ends: Ends) -> None:
        """These have ended. Durable when this returns, all or none."""

    def close(self) -> None:
        """The worker has stopped."""


class MemoryStore:
    """The latest outcomes, gone with the process. For work that may be repeated after a crash."""

    blocking = False

    def __init__(self, most: int = MOST_IN_MEMORY) -> None:
        """It keeps at least half of `most`."""
        self._half = max(most // 2, 1)
        self._latest: dict[str, str | None] = {}
        self._before: dict[str, str | None] = {}

    def open(self) -> None:
        """Nothing to do."""

    def known(self, occurrences: Sequence[str]) -> Ends:
        """The ends of those that have ended."""
        return {
            each: ends[each]
            for ends in (self._before, self._latest)
            if ends
            for each in occurrences
            if each in ends
        }

    def note(self, ends: Ends) -> None:
        """These have ended."""
        self._latest.update(ends)
        if len(self._latest) >= self._half:
            self._before, self._latest = self._latest, {}

    def close(self) -> None:
        """Nothing to do."""


class SQLiteStore:
    """A file that survives crashes, on a disk of this machine: `Occurrences`."""

    blocking = True

    def __init__(self, path: str | Path, *, keep: float = WEEK_SECONDS) -> None:
        """`keep`: seconds for which outcomes are kept."""
        self._path, self._keep = path, keep
        self._file: Occurrences | None = None

    def open(self) -> None:
        """Open or make the file."""
        self._file = Occurrences(self._path, keep=self._keep)

    def known(self, occurrences: Sequence[str]) -> Ends:
        """The ends of those that have ended."""
        found = {each: self._opened.outcome(each) for each in occurrences}
        return {each: outcome.error for each, outcome in found.items() if outcome is not None}

    def note(self, ends: Ends) -> None:
        """These have ended: one transaction."""
        self._opened.note_all(ends)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    @property
    def _opened(self) -> Occurrences:
        if self._file is None:
            self.open()
        assert self._file is not None  # noqa: S101 - for the type checker
        return self._file


class RedisStore:
    """Keys with a time to live in a Redis or Valkey that the workers share.

    `client` is a `redis.Redis`, with or without `decode_responses`.
    """

    blocking = True

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - a redis.Redis
        *,
        keep: float = WEEK_SECONDS,
        prefix: str = "scheduling-handled:",
    ) -> None:
        """`keep`: seconds for which outcomes are kept."""
        self._client, self._keep_ms, self._prefix = client, round(keep * 1000), prefix

    @classmethod
    def from_url(cls, url: str, *, keep: float = WEEK_SECONDS) -> RedisStore:
        """Connect to a URL such as `redis://127.0.0.1:6379/1`."""
        import redis  # noqa: PLC0415 - the user brings it

        return cls(redis.Redis.from_url(url), keep=keep)

    def open(self) -> None:
        """Whether the server answers."""
        self._client.ping()

    def known(self, occurrences: Sequence[str]) -> Ends:
        """The ends of those that have ended."""
        found = self._client.mget([self._prefix + each for each in occurrences])
        return {
            each: _error(value)
            for each, value in zip(occurrences, found, strict=True)
            if value is not None
        }

    def note(self, ends: Ends) -> None:
        """These have ended: one transaction."""
        pipe = self._client.pipeline(transaction=True)
        for occurrence, error in ends.items():
            value = "0" if error is None else f"1{error}"
            pipe.set(self._prefix + occurrence, value, px=self._keep_ms)
        pipe.execute()

    def close(self) -> None:
        """Leave the connection."""
        self._client.close()


def _error(value: bytes | str) -> str | None:
    text = value.decode() if isinstance(value, bytes) else value
    return None if text[0] == "0" else text[1:]
