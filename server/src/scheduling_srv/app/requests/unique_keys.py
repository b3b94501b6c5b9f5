"""Unique keys of jobs: which living jobs have them (scheduling.v1)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from scheduling_srv.app.budget import is_long
from scheduling_srv.app.ports import WriteGroup, WriteMode
from scheduling_srv.app.sharding.changes import shard_of
from scheduling_srv.domain.definition import Definition
from scheduling_srv.domain.errors import InvalidRequest, Violation
from scheduling_srv.domain.job import NewJob

TWICE = "The unique key stands twice in the list."
APART = "Jobs with unique keys of types in several shards cannot be created together."
TOO_LONG = "A list with unique keys is too long to be written at once: send fewer jobs."


class KeyStore(Protocol):
    """The unique keys of a shard. Raises `StoreUnavailable` and `StoreNotReady`."""

    async def holders(self, keys: Sequence[tuple[str, str]]) -> Sequence[str]:
        """For each type and key the id of the living job that has it; empty: none has."""


class UniqueKeys:
    """Over all shards: each type is in one of them."""

    def __init__(self, shards: Sequence[KeyStore]) -> None:
        """`shards`: in their order."""
        self.shards = shards

    def check(self, asked: Sequence[Definition], jobs: Sequence[NewJob]) -> None:
        """Raise `InvalidRequest` for a list that cannot be created in one step."""
        keys = keys_of(asked)
        for index, key in enumerate(keys):
            if key[1] and key in keys[:index]:
                path = f"jobs[{index}].unique_key"
                raise InvalidRequest(TWICE, [Violation(path, f"Job {index}: {TWICE}")])
        if len({shard_of(each.request.type, len(self.shards)) for each in asked}) > 1:
            raise InvalidRequest(APART, [Violation("jobs", APART)])
        if is_long(WriteGroup(WriteMode.CREATE, jobs)):
            raise InvalidRequest(TOO_LONG, [Violation("jobs", TOO_LONG)])

    async def holders(self, keys: Sequence[tuple[str, str]]) -> Sequence[str]:
        """For each type and key the id of the living job that has it; empty: none has.

        No job has an empty key. Raises `Unavailable`.
        """
        homes: dict[int, list[int]] = {}
        for place, (job_type, key) in enumerate(keys):
            if key:
                homes.setdefault(shard_of(job_type, len(self.shards)), []).append(place)
        found = [""] * len(keys)
        answers = await asyncio.gather(
            *(self.shards[shard].holders([keys[at] for at in own]) for shard, own in homes.items())
        )
        for own, ids in zip(homes.values(), answers, strict=True):
            for place, job_id in zip(own, ids, strict=True):
                found[place] = job_id
        return found


def keys_of(asked: Sequence[Definition]) -> Sequence[tuple[str, str]]:
    """Type and unique key of each; an empty key: it has none."""
    return [(each.request.type, each.properties.unique_key) for each in asked]
