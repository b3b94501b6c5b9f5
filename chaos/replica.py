"""One replica of the product under test, with what a campaign wants to be wrong with it.

`python -m chaos.replica serve` is `scheduling-srv serve`, but CHAOS_SKEW (milliseconds) moves its
clock and CHAOS_BUG names a bug from `chaos.seeded`. The product itself knows neither.
"""

from __future__ import annotations

import os

from scheduling_srv.adapters.clock import SystemClock
from scheduling_srv.cli import main as cli


def move_clock(skew: int) -> None:
    """Let the product's clock be ahead (or behind, if negative)."""
    true_now, true_until = SystemClock.now, SystemClock.until

    def now(self: SystemClock) -> int:
        return true_now(self) + skew

    def until(self: SystemClock, instant: int) -> float:
        return true_until(self, instant - skew)

    SystemClock.now = now  # type: ignore[method-assign]
    SystemClock.until = until  # type: ignore[method-assign]


def main() -> int:
    """Prepare, then serve; returns the exit code."""
    if skew := int(os.environ.get("CHAOS_SKEW") or 0):
        move_clock(skew)
    if bug := os.environ.get("CHAOS_BUG"):
        from chaos import seeded  # noqa: PLC0415 - nothing of it without the variable

        seeded.plant(bug)
    return cli.main()


if __name__ == "__main__":
    raise SystemExit(main())
