"""Goals of speed that are known not to be reached, the figures measured then, and their causes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """How far a goal was missed, and what limits it."""

    figure: float
    allowed: float
    """What the goal asked for in the same run."""
    why: str
    """A sentence that names the limit."""

    @property
    def cost(self) -> float:
        """Above 1: the part by which the goal was missed."""
        return max(self.figure / self.allowed, self.allowed / self.figure)


LIMITS: dict[str, Limit] = {}
"""By workload, figure and target, as `make accept-speed` prints them."""
