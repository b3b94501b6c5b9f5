"""Bugs in the rules of scheduling.v1 that a campaign must find, as those in `chaos.seeded`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaos.seeded_lua import replace_in_scripts
from scheduling_srv.adapters.redis.run_control import RedisRunControl
from scheduling_srv.app.owner.backfiller import Backfiller
from scheduling_srv.app.run_control_ports import OpenBackfill, Target


def runs_not_counted() -> None:
    """Each run of `max_runs` is the first one."""
    real = "state.counted, state.last = state.counted + 1, nominal"
    replace_in_scripts(real, "state.counted, state.last = 1, nominal", known="stage")


def start_deadlines_ignored() -> None:
    """A run starts however late it is."""
    real = "stage.now > due + rules.start_deadline"
    replace_in_scripts(real, "stage.now < 0", known="stage")
    real = "stage.now - rules.start_deadline - jitter_of(job) - nominal"
    replace_in_scripts(real, "0", known="stage")


def overlap_ignored() -> None:
    """SKIP and ONE are ALLOW."""
    replace_in_scripts("and has_open_run(job, kind) then", "and false then", known="stage")


def windows_ignored() -> None:
    """All runs of an outage are made up for, whatever the window of a job."""
    replace_in_scripts("return stage.resumed_at - window", "return 0", known="stage")


def pauses_ignored() -> None:
    """Runs of paused jobs and types start."""
    replace_in_scripts("if stage.is_paused and kind ~=", "if false and kind ~=", known="stage")


def jitter_ignored() -> None:
    """Runs start at their nominal times."""
    real = "math.floor(fraction(id .. '/' .. number(nominal)) * (jitter + 1))"
    replace_in_scripts(real, "0", known="stage")


def delays_halved() -> None:
    """Retries come too early."""
    replace_in_scripts("return math.ceil(delay)", "return math.ceil(delay / 2)", known="complete")


def heartbeats_ignored() -> None:
    """A run times out in spite of them."""
    real = "return extend(instance, now, nil, timeout) ~= nil"
    replace_in_scripts(real, "return true", known="complete")


def requests_forgotten() -> None:
    """A request that is sent again starts another run."""
    replace_in_scripts("local known = recall(request)", "local known = nil", known="run_now")


def keys_ignored() -> None:
    """Two jobs may have one unique key."""
    real = "return read_seq(record) > void and id or nil"
    replace_in_scripts(real, "return nil", known="write")


def revisions_kept() -> None:
    """An Update does not count."""
    replace_in_scripts("math.min(revision + 1, 4294967295)", "revision", known="write")


def cancels_only_counted() -> None:
    """A cancel is answered, and nothing is done."""
    cancel = RedisRunControl.cancel

    async def counting(
        control: RedisRunControl, runs: Sequence[Target], now: int, *, dry_run: bool
    ) -> Any:
        return await cancel(control, runs, now, dry_run=dry_run or bool(runs))

    RedisRunControl.cancel = counting  # type: ignore[assignment,method-assign]


def backfills_at_once() -> None:
    """All runs of a backfill start together."""
    fill = Backfiller._fill  # noqa: SLF001

    async def greedy(backfiller: Backfiller, token: str, backfill: OpenBackfill) -> bool:
        return await fill(backfiller, token, backfill._replace(room=500))

    Backfiller._fill = greedy  # type: ignore[assignment,method-assign]  # noqa: SLF001


BUGS_V1 = (
    runs_not_counted,
    start_deadlines_ignored,
    overlap_ignored,
    windows_ignored,
    pauses_ignored,
    jitter_ignored,
    delays_halved,
    heartbeats_ignored,
    requests_forgotten,
    keys_ignored,
    revisions_kept,
    cancels_only_counted,
    backfills_at_once,
)
