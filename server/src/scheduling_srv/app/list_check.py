"""From what a client asked for to what the store takes in, or the faults of all items."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling_srv.domain.errors import FailedPrecondition, InvalidRequest, TooLarge, Violation
from scheduling_srv.domain.job import JobRequest, NewJob
from scheduling_srv.domain.validation import Rules, too_many
from scheduling_srv.formats.hot_path import check_job
from scheduling_srv.formats.job_record import Note


def check_jobs(requests: Sequence[JobRequest], now: int, rules: Rules) -> list[NewJob]:
    """Every job of a list, checked; an empty id is given a new one.

    `now` is the instant of acceptance in epoch ms. Raises `InvalidRequest` with all faults of
    all jobs, its sentence being the first one's, or `TooLarge`.
    """
    check = ListCheck(len(requests), now, rules)
    check.add(requests)
    return check.finish()


class ListCheck:
    """The check of one list in pieces. All items are judged by one instant.

    Raises `TooLarge` for a list of more items than `rules` allow.
    """

    def __init__(self, size: int, now: int, rules: Rules, replacing: Note | None = None) -> None:
        """`now` is the instant of acceptance in epoch ms, `replacing` as in `check_job`."""
        if size > rules.max_items:
            msg = too_many(size, "items", rules.max_items)
            raise TooLarge(msg, [Violation("items", msg)])
        self.now = now
        self.rules = rules
        self.replacing = replacing
        self._index = 0
        self._jobs: list[NewJob] = []
        self._faults: list[tuple[int, str, InvalidRequest]] = []
        self._ids: set[str] = set()

    def add(self, requests: Sequence[JobRequest]) -> None:
        """Check the next items."""
        now, rules, replacing, jobs = self.now, self.rules, self.replacing, self._jobs
        for index, request in enumerate(requests, self._index):
            try:
                jobs.append(check_job(request, now, rules, replacing))
            except InvalidRequest as fault:
                self._faults.append((index, request.id, fault))
            except FailedPrecondition as fault:
                raise _of_item(index, request.id, fault) from None
            if request.id:
                self._check_repeated(index, request.id)
        self._index += len(requests)

    def _check_repeated(self, index: int, job_id: str) -> None:
        if job_id in self._ids:
            sentence = "The id stands twice in the list."
            fault = InvalidRequest(sentence, [Violation("id", sentence)])
            self._faults.append((index, job_id, fault))
        self._ids.add(job_id)

    def finish(self) -> list[NewJob]:
        """The jobs. Raises `InvalidRequest` with all faults of all items."""
        if self._faults:
            raise _all_faults(self._faults)
        return self._jobs


def _all_faults(faults: Sequence[tuple[int, str, InvalidRequest]]) -> InvalidRequest:
    violations = [
        Violation(
            f"items[{index}].{violation.field}".rstrip("."), _describe(index, job_id, str(fault))
        )
        for index, job_id, fault in faults
        for violation in fault.violations
    ]
    return InvalidRequest(str(faults[0][2]), violations)


def _of_item(index: int, job_id: str, fault: FailedPrecondition) -> FailedPrecondition:
    violations = [
        Violation(f"items[{index}].{each.field}", _describe(index, job_id, each.description))
        for each in fault.violations
    ]
    return FailedPrecondition(str(fault), violations)


def _describe(index: int, job_id: str, sentence: str) -> str:
    name = f" (id {job_id})" if job_id else ""
    return f"Item {index}{name}: {sentence}"
