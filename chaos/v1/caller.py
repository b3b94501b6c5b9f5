"""A client of scheduling.v1 in a thread of its own. No two of them touch the same jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from chaos.caller_thread import CallerThread
from chaos.clock import now_ms
from chaos.history import OK, REFUSED, UNKNOWN
from chaos.model import V1_IDS
from chaos.v1.calls import V1Calls
from chaos.v1.facts import Call
from chaos.v1.generator import PAUSED_TYPE, TYPES, changed, random_spec
from chaos.v1.specs import Spec

KEYS = 2
"""Unique keys that a caller uses."""
REPEATS = 3
"""How often a request with an id is sent again."""
MOST_JOBS = 14
"""Recurring jobs of a caller."""
LONGEST_BACKFILL_MS = 20_000


class V1Caller(CallerThread):
    """Creates, changes, pauses, runs and cancels jobs by chance."""

    JOIN_SECONDS = 60.0

    def __init__(
        self, name: str, seed: int, calls: V1Calls, *, pause: float, types: bool = False
    ) -> None:
        """`pause`: mean seconds between calls. `types`: it also pauses a type."""
        super().__init__(name, seed, pause=pause)
        self.calls = calls
        self.types = types
        self.living: dict[str, Spec] = {}
        """Recurring jobs that it believes to live."""
        self.revisions: dict[str, int] = {}
        """Those that it has seen last."""
        self.paused: set[str] = set()
        self.ids: list[str] = []
        """All that it has given."""
        self.open_runs: list[str] = []
        self._type_is_paused = False
        self._unsure: set[str] = set()
        """Jobs of which it does not know the definition."""
        self._backfilled = defaultdict[str, list[tuple[int, int]]](list)
        """Job id -> the spans of its backfills."""
        self._numbers = count(1)

    def _choose(self) -> Callable[[], object]:
        if len(self.living) > MOST_JOBS:
            return self._delete
        with_jobs = 1 if self.living else 0
        actions: dict[Callable[[], object], int] = {
            self._create: 10,
            self._create_unique: 4,
            self._update: 5 * with_jobs,
            self._delete: 2 * with_jobs,
            self._pause: 3 * with_jobs,
            self._resume: 6 if self.paused else 0,
            self._run_now: 4 * with_jobs,
            self._backfill: 2 * with_jobs,
            self._get: 5 * with_jobs,
            self._cancel: 8 if self.open_runs else 0,
            self._turn_type: 2 if self.types else 0,
        }
        return self.rng.choices(list(actions), list(actions.values()))[0]

    # --- Jobs -------------------------------------------------------------------------------------

    def _create(self) -> None:
        specs = [random_spec(self.rng, self._new_id()) for _ in range(self.rng.choice((1, 1, 2)))]
        if self.rng.random() < 0.5 and all(_may_be_repeated(spec) for spec in specs):
            request = self._new_request()
            self._note_created(
                self._until_known(lambda: self.calls.create(specs, request, self._replica()))
            )
        else:
            self._note_created(self.calls.create(specs, "", self._replica()))

    def _create_unique(self) -> None:
        spec = random_spec(self.rng, self._new_id(), TYPES[0])
        key = f"{self.name}-{self.rng.randrange(KEYS)}"
        self._note_created(self.calls.create([replace(spec, key=key)], "", self._replica()))

    def _note_created(self, call: Call) -> None:
        existing = call.answer.get("existing", [False] * len(call.specs))
        for spec, exists in zip(call.specs, existing, strict=True):
            if call.outcome != REFUSED and spec.recurs and not exists:
                self.living[spec.id] = spec
                if call.outcome == OK:
                    self.revisions[spec.id] = 1

    def _update(self) -> None:
        job_id = self._some()
        if job_id in self._unsure or job_id not in self.revisions:
            self._delete_these([job_id])
            return
        spec, paths = changed(self.rng, self.living[job_id])
        known, draw = self.revisions[job_id], self.rng.random()
        revision = 0 if draw < 0.4 else known if draw < 0.8 or known == 1 else known - 1
        call = self.calls.update(spec, paths, revision, self._replica())
        if call.outcome == OK:
            self.living[job_id], self.revisions[job_id] = spec, call.answer["revision"]
        elif call.outcome == UNKNOWN:
            self._unsure.add(job_id)
        elif call.code == "NOT_FOUND":
            self._forget(job_id)

    def _delete(self) -> None:
        self._delete_these(self.rng.sample(sorted(self.living), min(2, len(self.living))))

    def _delete_these(self, ids: list[str]) -> None:
        if self.calls.delete(ids, self._replica()).outcome == OK:
            for job_id in ids:
                self._forget(job_id)

    def _forget(self, job_id: str) -> None:
        self.living.pop(job_id, None)
        self.paused.discard(job_id)

    # --- Pauses -----------------------------------------------------------------------------------

    def _pause(self) -> None:
        job_id = self._some()
        self.paused.add(job_id)
        self.calls.pause([job_id], self._replica())

    def _resume(self) -> None:
        job_id = self.rng.choice(sorted(self.paused))
        if self.calls.resume([job_id], self._replica()).outcome == OK:
            self.paused.discard(job_id)

    def _turn_type(self) -> None:
        turn = self.calls.resume_type if self._type_is_paused else self.calls.pause_type
        if turn(PAUSED_TYPE, self._replica()).outcome == OK:
            self._type_is_paused = not self._type_is_paused

    def resume_all(self) -> bool:
        """End all pauses of jobs but one in two, and that of the type. Whether it was answered."""
        if self.types and self.calls.resume_type(PAUSED_TYPE, self._replica()).outcome != OK:
            return False
        ids = sorted(self.paused)[::2]
        return not ids or self.calls.resume(ids, self._replica()).outcome == OK

    # --- Runs -------------------------------------------------------------------------------------

    def _run_now(self) -> None:
        job_id, request = self._some(), self._new_request()
        call = self._until_known(lambda: self.calls.run([job_id], request, self._replica()))
        self.open_runs += call.answer.get("runs", [])

    def _backfill(self) -> None:
        job_id = self._some()
        until = now_ms() - self.rng.randrange(60_000)
        span = until - self.rng.randrange(2_000, LONGEST_BACKFILL_MS), until
        most = self.rng.randrange(1, 4)
        before = self._backfilled[job_id]
        if any(begin < span[1] and span[0] < end for begin, end in before):
            return  # its runs would have the names of those of before
        before.append(span)
        self.calls.backfill(job_id, span, most, self._new_request(), self._replica())

    def _get(self) -> None:
        call = self.calls.get([self._some()], self._replica())
        if call.outcome == OK:
            self.open_runs = [*self.open_runs[-5:], *call.answer["open"]]

    def _cancel(self) -> None:
        self.calls.cancel(self.open_runs.pop(), self._replica())

    # --- Chance -----------------------------------------------------------------------------------

    def _until_known(self, send: Callable[[], Call]) -> Call:
        """Sent again while the outcome is unknown, and now and then once more."""
        call = send()
        for _ in range(REPEATS):
            if call.outcome != UNKNOWN or self._leaving.is_set():
                break
            call = send()
        if call.outcome == OK and self.rng.random() < 0.3:
            return send()
        return call

    def _some(self) -> str:
        return self.rng.choice(sorted(self.living))

    def _new_id(self) -> str:
        self.ids.append(f"{V1_IDS}{self.name}:{next(self._numbers)}")
        return self.ids[-1]

    def _new_request(self) -> str:
        return f"{self.name}-{next(self._numbers)}"

    def _replica(self) -> int:
        return self.rng.randrange(100)


def _may_be_repeated(spec: Spec) -> bool:
    """A job that is gone by itself meanwhile would be created anew after a loss of Redis."""
    return spec.recurs and not spec.max_runs and not spec.end
