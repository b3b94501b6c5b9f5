"""What is measured: for each workload one function a contender, which returns a `Sample`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.contenders import rivals
from bench.site import Sample, Site

PRODUCT, BARE, BULLMQ = "product", "bare", rivals.BULLMQ.name
Measure = Callable[[Site, int], Sample]


@dataclass(frozen=True)
class Workload:
    """A measurement that is repeated, each contender in turn."""

    name: str
    size: int
    """Jobs at full size."""
    contenders: Mapping[str, Measure]
    least: int = 500
    """Jobs of the smallest run."""
    long: bool = False
    """Takes minutes: measured once, not in every round."""

    def count(self, scale: float) -> int:
        """Jobs at a scale."""
        return max(self.least, int(self.size * scale))
