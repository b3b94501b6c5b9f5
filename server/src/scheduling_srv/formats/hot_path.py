"""The path of every job as pure functions over bytes: decode, check and pack; then its records.

    JobList ── decode ──► JobRequest ── check_job ──► NewJob, with its record       `accept` is both
    entries of the outbox ── Announcer.records ──► records on Kafka

Each step takes microseconds a job, and all of them together limit the service. So they have no
I/O, no clock and no state: another implementation, such as a compiled one, can take their place.
`tests/unit/hot_path.json` holds the results byte for byte, and `tests/unit/test_hot_path.py`
compares any jobs with protobuf. `python -m bench.pure` measures the steps.
"""

from __future__ import annotations

from typing import NamedTuple

from scheduling_client.schedules.when import has_elapsed, is_relative
from scheduling_srv.domain.errors import InvalidRequest, Violation
from scheduling_srv.domain.job import JobRequest, NewJob, Trigger, generate_id
from scheduling_srv.domain.stored_format import SCHEDULING_V1
from scheduling_srv.domain.timing import timed
from scheduling_srv.domain.validation import (
    DEFAULTS,
    ONCE,
    Rules,
    check_fields,
    find_trigger,
    too_large,
)
from scheduling_srv.formats import job_record
from scheduling_srv.formats.job_record import NO_NOTES, Note, at_instant
from scheduling_srv.formats.messages import decode_job_list

KEEP_MORE = Note.KEEP_MORE
"""Looked up once: a member of an enum takes Python 3.11 70 ns."""


class Terms(NamedTuple):
    """What the result depends on, besides the bytes."""

    now: int
    """The instant of acceptance in epoch ms."""
    rules: Rules = DEFAULTS
    replacing: Note | None = None
    """See `check_job`."""
    trace: bytes = b""
    """The trace context that each job gets; see `JobRequest`."""


def accept(raw: bytes, terms: Terms) -> list[NewJob]:
    """The jobs of a JobList, as the store takes them in; a job without an id gets a new one.

    Raises `InvalidRequest` or `FailedPrecondition` for the first item at fault, and `TooLarge` for
    a list of too many items.
    """
    now, rules, replacing, trace = terms
    requests = decode_job_list(raw, trace, rules.max_items)
    return [check_job(request, now, rules, replacing) for request in requests]


def check_job(request: JobRequest, now: int, rules: Rules, replacing: Note | None = None) -> NewJob:
    """One job, checked. Raises `InvalidRequest` with the field and the sentence.

    `replacing`: it may replace a job with this id; what the store has to know of the request.
    """
    check_fields(request)
    is_new = replacing is None or not request.id
    trigger = find_trigger(request, now, rules, is_new=is_new)
    if request.properties is not None:
        rules.stored.check_scheduling_v1()
        trigger = timed(request, request.properties, trigger, now)
    notes = NO_NOTES if replacing is None else replacing | _notes(request, trigger, now)
    if trigger.kind is ONCE and is_relative(request.when):
        request = at_instant(request, trigger.due)
    if rules.stored.number < SCHEDULING_V1:
        stored = job_record.pack(request, trigger, notes)
    elif request.properties is not None:
        stored = job_record.pack(
            request, trigger, notes, now, job_record.pack_properties(request, now)
        )
    else:
        kept = notes if replacing is None else notes | KEEP_MORE
        stored = job_record.pack(request, trigger, kept, now)
    if len(stored) + len(request.id) > rules.max_job_bytes:
        sentence = too_large(rules.max_job_bytes)
        raise InvalidRequest(sentence, [Violation("data", sentence)])
    if len(stored) > rules.kafka.sure:
        rules.kafka.check(len(stored), request.id)
    return NewJob(request.id or generate_id(), trigger.due, stored)


def _notes(request: JobRequest, trigger: Trigger, now: int) -> Note:
    notes = NO_NOTES
    if trigger.kind is ONCE:
        if is_relative(request.when):
            notes |= Note.RELATIVE
        if has_elapsed(trigger.due, now):
            notes |= Note.ELAPSED
    return notes
