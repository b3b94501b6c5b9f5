"""A service under test: its clock stands still, and a command advances it (docs/decisions/0035)."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_srv.adapters.redis.agenda import RedisAgenda
from scheduling_srv.app.commands.clock_commands import ClockCommands, CommandsPort
from scheduling_srv.app.commands.test_clock import TestClock
from scheduling_srv.app.ports import SettableClock
from scheduling_srv.app.replies import Signal
from scheduling_srv.service.assemble import Parts
from scheduling_srv.service.shard import Shard
from scheduling_srv.settings.model import Settings

WORK = Signal("work", due=0)


def held_settings(settings: Settings) -> Settings:
    """Nothing is staged ahead: the clock goes to each instant."""
    return settings.model_copy(update={"stage_ahead": 0})


def clocked(clock: SettableClock | None, shards: Sequence[Shard], parts: Parts) -> CommandsPort:
    """The commands of callers; with a test clock also `advance`."""
    if clock is None:
        return parts.commands
    return ClockCommands(
        parts.commands,
        TestClock(
            clock=clock,
            shards=[_agenda(shard) for shard in shards],
            inputs=parts.inputs,
            nudge=lambda: _nudge(shards),
        ),
    )


def _agenda(shard: Shard) -> RedisAgenda:
    site = shard.site
    return RedisAgenda(
        site.redis,
        site.settings.namespace,
        shard.number,
        shards=site.settings.shards,
        timeout=site.rules.completion_timeout,
    )


def _nudge(shards: Sequence[Shard]) -> None:
    for shard in shards:
        shard.owner.notice(WORK)
