"""Applies consumed records where there are several shards (docs/decisions/0004).

What a record holds names the shard that applies it, once; only a delete of everything and a reset
are applied by each shard. So a record that is read again is never applied in another shard as well,
wherever its jobs live by then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scheduling_srv.app.budget import is_long
from scheduling_srv.app.commands.commands import COMMAND_EVENTS, Commands
from scheduling_srv.app.commands.payloads import parse_payload
from scheduling_srv.app.jobs import check_deletion
from scheduling_srv.app.ports import Clock, JobStore, Receipt, Refusal, Source, WriteGroup, Written
from scheduling_srv.app.sharding.changes import shard_of
from scheduling_srv.app.sharding.sharded_jobs import ShardedJobs
from scheduling_srv.app.sharding.shards import Shards
from scheduling_srv.app.starts import Begun
from scheduling_srv.domain.errors import RequestError
from scheduling_srv.entrances.ignored_triggers import IgnoredTriggers
from scheduling_srv.entrances.intake import Consumed, End, Intake, Letters
from scheduling_srv.formats import messages
from scheduling_srv.formats.positions import Place

ANSWERS = frozenset({b"jobDone", b"jobFailed"})
LISTS = frozenset({b"createJobs", b"modifyJobs"})
RESET = "reset"


class Turn(NamedTuple):
    """Which shards apply a record, and whether those before have to be applied first."""

    shards: Sequence[int]
    alone: bool = False


NOBODYS = Turn(())
FIRST = Turn((0,))
"""What belongs to no shard in particular."""


class Desk:
    """What the intake of one shard takes for the use cases."""

    def __init__(self, jobs: ShardedJobs, shard: int) -> None:
        self.jobs = jobs
        self.rules = jobs.rules
        self.prepare = jobs.prepare
        self.shard = shard

    @property
    def shards(self) -> Shards:
        """All of them."""
        return self.jobs.shards

    async def write_from(self, groups: Sequence[WriteGroup], source: Source) -> Written:
        """In this shard, or decided here; see `Jobs.write_from`."""
        if all(self.shards.only(group) == self.shard for group in groups):
            part, first = self.shards.parts[self.shard], groups[0]
            if part.lists and is_long(first):
                receipt, _ = await part.lists.write(
                    first.mode, first.jobs, first.own(source), named=False
                )
                return Written(receipt, [None])
            return await part.store.write(groups, self.jobs.clock.now(), source)
        (group,) = groups
        outcome = await self.shards.write(group, at=self.shard, source=source)
        if isinstance(outcome, Refusal):
            return Written(Receipt("", 0), [outcome])
        self.shards.follow(outcome)
        return Written(outcome.receipt, [None])

    async def delete_from(self, ids: Sequence[str], source: Source) -> Receipt:
        """Decided here, wherever the jobs live."""
        check_deletion(ids, self.rules)
        decided = await self.shards.delete_from(ids, self.shard, source)
        self.shards.follow(decided)
        return decided.receipt

    async def delete_all_from(self, source: Source) -> Receipt:
        """This shard's jobs."""
        store = self.shards.parts[self.shard].store
        return await store.clear(self.jobs.clock.now(), source, announced=True)


class SilentReset:
    """A reset in all shards but the one that answers it."""

    def __init__(self, store: JobStore, clock: Clock) -> None:
        self.store = store
        self.clock = clock

    async def run_event(self, key: str, name: str, payload: bytes | None, source: Source) -> None:
        """Nothing else comes here."""
        del key, name, payload
        await self.store.clear(self.clock.now(), source, announced=False)

    async def refuse_event(self, key: str, name: str, sentence: str, source: Source) -> None:
        """What is no command goes to the one that answers."""
        raise NotImplementedError


class ShardedIntake:
    """Gives each record to the intake of its shard; does what `Intake` does."""

    def __init__(
        self,
        jobs: ShardedJobs,
        commands: Commands,
        clock: Clock,
        *,
        jobs_topic: str,
        commands_topic: str,
        letters: Letters | None = None,
    ) -> None:
        self.shards = jobs.shards
        self.rules = jobs.rules
        self.jobs_topic, self.commands_topic = jobs_topic, commands_topic
        ignored = IgnoredTriggers("kafka")
        self.intakes = [
            Intake(
                jobs=Desk(jobs, shard),
                inputs=part.inputs,
                commands=SilentReset(part.store, clock) if shard else commands,
                clock=clock,
                jobs_topic=jobs_topic,
                commands_topic=commands_topic,
                letters=letters,
                ignored=ignored,
            )
            for shard, part in enumerate(self.shards.parts)
        ]

    def begin(self, shards: Sequence[Begun]) -> None:
        """As `Intake.begin`, of each shard."""
        for intake, begun in zip(self.intakes, shards, strict=True):
            intake.begin([begun])

    def applied(self, place: Place) -> int:
        """What all shards have applied."""
        return min(intake.applied(place) for intake in self.intakes)

    async def apply(self, batches: Sequence[Sequence[Consumed]]) -> None:
        """As `Intake.apply`. A shard passes over what it has applied."""
        queues = [
            deque([(record, await self._turn(record)) for record in batch]) for batch in batches
        ]
        while queues := [queue for queue in queues if queue]:
            shares: list[list[list[Consumed]]] = [[] for _ in self.intakes]
            for queue in queues:
                own: list[list[Consumed]] = [[] for _ in self.intakes]
                while queue and not queue[0][1].alone:
                    record, turn = queue.popleft()
                    for shard in turn.shards:
                        own[shard].append(record)
                for share, records in zip(shares, own, strict=True):
                    share.append(records)
            await self._apply_shares(shares)
            for queue in queues:
                if queue:
                    await self._apply_in_turn(*queue.popleft(), broken=False)

    async def apply_alone(self, record: Consumed) -> None:
        """As `Intake.apply_alone`."""
        await self._apply_in_turn(record, await self._turn(record), broken=True)

    async def skip(self, ends: Mapping[Place, End]) -> None:
        """As `Intake.skip`, in all shards that are behind."""
        for intake in self.intakes:
            await intake.skip(ends)

    async def settle(self) -> None:
        """Deliver what one shard has decided for others, also by the consumer group's hand."""
        await self.shards.courier.settle_all()

    async def _apply_shares(self, shares: Sequence[Sequence[Sequence[Consumed]]]) -> None:
        calls = [
            intake.apply(batches)
            for intake, batches in zip(self.intakes, shares, strict=True)
            if any(batches)
        ]
        # All of them come to their end: nothing may go on behind the listener's back.
        for fault in await asyncio.gather(*calls, return_exceptions=True):
            if fault:
                raise fault

    async def _apply_in_turn(self, record: Consumed, turn: Turn, *, broken: bool) -> None:
        if len(turn.shards) > 1:
            await self.shards.courier.settle_all()
        for shard in turn.shards:
            intake = self.intakes[shard]
            if broken:
                await intake.apply_alone(record)
            else:
                await intake.apply([[record]])

    # --- Whose turn it is ---------------------------------------------------------------------

    async def _turn(self, record: Consumed) -> Turn:
        """By nothing but what the record holds."""
        key, value = record.key or b"", record.value or b""
        try:
            if record.topic == self.commands_topic:
                return self._turn_of_command(key, value)
            if record.topic != self.jobs_topic:
                return NOBODYS
            if key in ANSWERS:
                instance = messages.decode_answer(value, failed=False).instance
                return Turn((instance % self.shards.count,))
            if key in LISTS:
                return await self._turn_of_list(value, is_new=key == b"createJobs")
            return self._turn_of_delete(value) if key == b"deleteJobs" else NOBODYS
        except RequestError:
            return FIRST

    async def _turn_of_list(self, value: bytes, *, is_new: bool) -> Turn:
        rules = self.rules
        items = await messages.read_job_list(value, b"", rules.max_items, rules.max_job_bytes)
        shards = [shard_of(item.type, self.shards.count) for item in items] or [0]
        one = is_new and not any(item.id for item in items) and len({*shards}) == 1
        return Turn(shards[:1], alone=not one)

    def _turn_of_delete(self, value: bytes) -> Turn:
        call = messages.decode_delete(value, self.rules.max_items)
        if call.everything:
            return Turn(range(self.shards.count), alone=True)
        first = call.ids[0] if call.ids else ""
        return Turn((shard_of(first, self.shards.count),), alone=True)

    def _turn_of_command(self, key: bytes, value: bytes) -> Turn:
        if key.decode(errors="replace") not in COMMAND_EVENTS:
            return NOBODYS
        call = messages.decode_command(value)
        if call.name != RESET:
            return Turn((0,), alone=True)
        parse_payload(call.payload)
        # The one that answers comes last: then all of it is done.
        return Turn((*range(1, self.shards.count), 0), alone=True)
