"""Carries the planned faults out, and notes them down."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from chaos.clock import now_ms
from chaos.history import Fault, Recorder
from chaos.schedule import Planned
from chaos.world import World


class Conductor:
    """One thread a lane."""

    def __init__(
        self,
        world: World,
        recorder: Recorder,
        lanes: Mapping[str, Sequence[Planned]],
        *,
        scale: float,
        say: Callable[[str], None],
    ) -> None:
        self.world = world
        self.recorder = recorder
        self.scale = scale
        self.say = say
        self.faults: list[Fault] = []
        self.failure: BaseException | None = None
        self._began = time.monotonic()
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(planned,), name=lane, daemon=True)
            for lane, planned in lanes.items()
        ]

    def run(self, seconds: float) -> None:
        """Until the time is up and every fault is over. Raises what went wrong."""
        self.start()
        self.finish(seconds)

    def start(self) -> None:
        """Begin."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def wait(self, seconds: float) -> bool:
        """Whether it ended before."""
        return self._ending.wait(seconds)

    def finish(self, seconds: float) -> None:
        """End after so long."""
        self._ending.wait(seconds)
        self._ending.set()
        for thread in self._threads:
            thread.join(300)
        if self.failure:
            raise self.failure

    def _run(self, lane: Sequence[Planned]) -> None:
        try:
            kinds = len({planned.kind.name for planned in lane})
            for number, planned in enumerate(lane):
                ended = self._ending.wait(planned.at - (time.monotonic() - self._began))
                if self.failure or (ended and number >= kinds):  # each kind once, however late
                    return
                self._act(planned)
        except BaseException as failure:  # noqa: BLE001 - raised again by run()
            self.failure = failure
            self._ending.set()

    def _act(self, planned: Planned) -> None:
        begun = now_ms()
        chance = random.Random(planned.seed)  # noqa: S311
        target = planned.kind.act(self.world, chance, self.scale)
        fault = Fault(planned.kind.name, target, begun, now_ms())
        self.faults.append(fault)
        self.recorder.fault(fault)
        took = (fault.ended - begun) / 1000
        at = time.monotonic() - self._began
        self.say(f"{at:7.1f} s  {fault.name:<22} {target} ({took:.1f} s)")


def say(text: str) -> None:
    """A live line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
