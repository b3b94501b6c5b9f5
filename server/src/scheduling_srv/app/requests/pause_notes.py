"""Reads the pauses of jobs and types, over all shards."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from scheduling_srv.app.ports import ListedJob, PauseStore
from scheduling_srv.app.sharding.changes import shard_of
from scheduling_srv.domain.pause import NOT_PAUSED, Pause, Pauses
from scheduling_srv.formats import pause_note
from scheduling_srv.formats.job_record import type_of


class PauseNotes:
    """Each method raises `Unavailable`."""

    def __init__(self, shards: Sequence[PauseStore]) -> None:
        """`shards`: in their order."""
        self.shards = shards

    async def of_jobs(self, jobs: Sequence[ListedJob]) -> Mapping[bytes, Pauses]:
        """Id -> its pauses, of those that are paused."""
        homes: dict[int, list[ListedJob]] = {}
        for job in jobs:
            homes.setdefault(shard_of(type_of(job.job.record), len(self.shards)), []).append(job)
        found = await asyncio.gather(
            *(_in_shard(self.shards[shard], own) for shard, own in homes.items())
        )
        return {job_id: pauses for each in found for job_id, pauses in each.items()}

    async def of_type(self, job_type: str) -> Pause | None:
        """None: the type is not paused."""
        _, (note,) = await self.shard_of_type(job_type).pauses([], [job_type])
        return _pause(note)

    async def types(self) -> Sequence[tuple[str, Pause]]:
        """The types that are paused, in the order of their names."""
        found = await asyncio.gather(*(shard.paused_types() for shard in self.shards))
        notes = {name: note for each in found for name, note in each.items()}
        return [(name, pause_note.unpack(notes[name])) for name in sorted(notes)]

    def shard_of_type(self, job_type: str) -> PauseStore:
        """Where the pause of a type is."""
        return self.shards[shard_of(job_type, len(self.shards))]


async def _in_shard(shard: PauseStore, jobs: Sequence[ListedJob]) -> Mapping[bytes, Pauses]:
    types = [type_of(each.job.record).decode() for each in jobs]
    kinds = list(dict.fromkeys(types))
    own, of_types = await shard.pauses([each.job.id.decode() for each in jobs], kinds)
    by_type = dict(zip(kinds, map(_pause, of_types), strict=True))
    pauses = {
        each.job.id: Pauses(_pause(note), by_type[kind])
        for each, note, kind in zip(jobs, own, types, strict=True)
    }
    return {job_id: found for job_id, found in pauses.items() if found != NOT_PAUSED}


def _pause(note: bytes | None) -> Pause | None:
    return None if note is None else pause_note.unpack(note)
