"""What a job may be, and the sentence for what it may not (docs/contract.md)."""

import math
from dataclasses import replace
from typing import Any

import pytest

from scheduling_client.schedules.when import rfc3339
from scheduling_client.wire import job_pb2
from scheduling_srv.app.commands.events import LENIENT
from scheduling_srv.app.list_check import check_jobs
from scheduling_srv.domain.errors import InvalidRequest, TooLarge
from scheduling_srv.domain.job import JobRequest, Trigger, TriggerKind
from scheduling_srv.domain.validation import MAX_DELAY_MS, MAX_TEXT, Rules, check_ids, find_trigger
from scheduling_srv.formats.hot_path import check_job
from scheduling_srv.formats.job_record import Note, header, rest_of

NOW = 1_700_000_000_000
RULES = Rules()
MIDNIGHT = 93_287_175_966_523
"""The fingerprint of `0 0 * * *`. It is stored, so it stays what it is."""
GOOD = JobRequest(
    id="a", type="t", timezone="UTC", creator="", data=b"\n\x03UTC", rest=b"", now=True
)


def asked(**changes: Any) -> JobRequest:
    return replace(GOOD, **changes)


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"type": ""}, "type", "Job type not specified."),
        ({"data": None}, "data", "No job data specified."),
        (
            {"now": False},
            "interval",
            "No schedule specified for job. Set one of interval, when and now.",
        ),
        ({"timezone": "Mars/Base"}, "data.timezone", "Time zone 'Mars/Base' is not known"),
        (
            {"when": "2001-01-01"},
            "when",
            "time: '2001-01-01' is 2001-01-01T00:00:00.000+00:00, and",
        ),
        ({"when": "whenever"}, "when", "'whenever'"),
        ({"interval": "now and then"}, "interval", "'now and then'"),
        ({"interval": "50 ms"}, "interval", "100 ms. The setting is SCHEDULING_MIN_INTERVAL."),
        ({"interval": "0 0 30 2 *"}, "interval", ""),
        ({"priority": 7}, "priority", "The priority is none of"),
        ({"backoff_type": 2}, "backoff.type", "The backoff type is neither"),
        ({"backoff_delay": -1.0}, "backoff.delay", "The backoff delay is a number"),
        ({"backoff_delay": math.nan}, "backoff.delay", "The backoff delay is a number"),
        ({"backoff_delay": math.inf}, "backoff.delay", "The backoff delay is a number"),
        ({"backoff_delay": MAX_DELAY_MS * 2}, "backoff.delay", "The backoff delay is a number"),
        ({"id": "x" * (MAX_TEXT + 1)}, "id", f"The text is longer than {MAX_TEXT} bytes."),
        ({"id": "é" * MAX_TEXT}, "id", f"The text is longer than {MAX_TEXT} bytes."),
        ({"type": "x" * (MAX_TEXT + 1)}, "type", "The text is longer"),
        ({"creator": "x" * (MAX_TEXT + 1)}, "data.creator", "The text is longer"),
        ({"interval": "x" * (MAX_TEXT + 1)}, "interval", "The text is longer"),
        ({"when": "x" * (MAX_TEXT + 1)}, "when", "The text is longer"),
        ({"id": "a\nb"}, "id", "A job id has only printable characters."),
        ({"id": "a\0b"}, "id", "A job id has only printable characters."),
        ({"rest": b"x" * 65_536}, "", "Job has too many unknown fields."),
        (
            {"data": b"x" * 900_000},
            "data",
            "900000 bytes. The setting is SCHEDULING_MAX_JOB_BYTES.",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_field(
    changes: dict[str, Any], field: str, sentence: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_job(asked(**changes), NOW, RULES)
    assert sentence in str(caught.value)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_a_good_job_is_taken_in() -> None:
    job = check_job(asked(id="é {*} 1", priority=-15, attempts=3), NOW, RULES)
    assert (job.id, job.due) == ("é {*} 1", NOW)
    assert header(job.record).attempts == 3


def test_an_empty_id_is_given_a_new_one() -> None:
    first, second = check_jobs([asked(id=""), asked(id="")], NOW, RULES)
    assert len({first.id, second.id, ""}) == 3


@pytest.mark.parametrize(
    ("changes", "trigger"),
    [
        (
            {"interval": "2 seconds", "when": "tomorrow", "now": True},
            Trigger(TriggerKind.INTERVAL, NOW + 2000, 2000),
        ),
        ({"when": "in 3 seconds", "now": True}, Trigger(TriggerKind.ONCE, NOW + 3000)),
        ({"now": True}, Trigger(TriggerKind.NOW, NOW)),
        ({"interval": "0 0 * * *"}, Trigger(TriggerKind.CRON, 1_700_006_400_000, MIDNIGHT)),
        ({"interval": "Daily"}, Trigger(TriggerKind.CRON, 1_700_006_400_000, MIDNIGHT)),
        ({"interval": "every day at 0"}, Trigger(TriggerKind.CRON, 1_700_006_400_000, MIDNIGHT)),
        ({"interval": "@every 5m"}, Trigger(TriggerKind.INTERVAL, NOW + 300_000, 300_000)),
        (
            {"interval": "0 0 * * *", "timezone": "Asia/Kolkata"},
            Trigger(TriggerKind.CRON, 1_700_073_000_000, MIDNIGHT),
        ),
    ],
)
def test_interval_then_when_then_now(changes: dict[str, Any], trigger: Trigger) -> None:
    assert find_trigger(asked(**changes), NOW, RULES) == trigger


def test_the_shortest_interval_is_a_setting() -> None:
    assert find_trigger(asked(interval="1 ms"), NOW, Rules(min_interval=1)).interval == 1
    with pytest.raises(InvalidRequest, match="The shortest interval is 5000 ms."):
        find_trigger(asked(interval="4 s"), NOW, Rules(min_interval=5000))


@pytest.mark.parametrize("interval", ["* * * * * *", "*/4 * * * * *", "0,59 0,1 * * * *"])
def test_the_shortest_interval_holds_for_cron(interval: str) -> None:
    with pytest.raises(InvalidRequest, match="SCHEDULING_MIN_INTERVAL") as caught:
        find_trigger(asked(interval=interval), NOW, Rules(min_interval=5000))
    assert "The shortest interval is 5000 ms." in str(caught.value)
    assert [violation.field for violation in caught.value.violations] == ["interval"]


@pytest.mark.parametrize("interval", ["*/5 * * * * *", "* * * * *", "0 0 29 2 *"])
def test_cron_that_keeps_the_shortest_interval_is_accepted(interval: str) -> None:
    assert find_trigger(asked(interval=interval), NOW, Rules(min_interval=5000))


@pytest.mark.parametrize("rules", [RULES, Rules(min_interval=1000), LENIENT])
def test_no_cron_is_refused_by_default_or_when_it_is_put_back(rules: Rules) -> None:
    assert find_trigger(asked(interval="* * * * * *"), NOW, rules)


PAST = "2001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("when", "notes"),
    [
        (PAST, Note.ELAPSED),
        ("Jan 1, 2001", Note.ELAPSED),
        ("2100-01-01T00:00:00Z", Note.NONE),
        ("2100-01-01", Note.NONE),
        ("in 3 seconds", Note.RELATIVE),
        ("tomorrow at noon", Note.RELATIVE),
        ("midnight", Note.RELATIVE),
    ],
)
@pytest.mark.parametrize("replacing", [Note.NONE, Note.UPDATED])
def test_the_store_is_told_what_an_update_asks_for(when: str, notes: Note, replacing: Note) -> None:
    stored = check_job(asked(when=when), NOW, RULES, replacing).record
    assert stored[0] == replacing | notes
    assert stored[1:6] == bytes(5)


def test_recurring_jobs_say_only_that_they_are_updates() -> None:
    for changes in ({"interval": "1 s"}, {"interval": "* * * * *", "when": PAST}, {"now": True}):
        assert check_job(asked(**changes), NOW, RULES, Note.UPDATED).record[0] == Note.UPDATED
        assert check_job(asked(**changes), NOW, RULES).record[:6] == bytes(6)


@pytest.mark.parametrize(
    ("changes", "replacing"),
    [
        ({"when": PAST}, None),
        ({"when": PAST, "id": ""}, Note.NONE),
        ({"when": "today at 00:00"}, Note.UPDATED),
    ],
)
def test_what_cannot_be_the_time_of_a_living_job_is_refused_at_once(
    changes: dict[str, Any], replacing: Note | None
) -> None:
    """A new job, one without an id, and a relative `when`, which is always a change."""
    with pytest.raises(InvalidRequest, match="Cannot schedule a job for an elapsed time"):
        check_job(asked(**changes), NOW, RULES, replacing)


def test_all_faults_of_a_list_are_named() -> None:
    """With item and id; the sentence of the whole is the first one's."""
    with pytest.raises(InvalidRequest) as caught:
        check_jobs([asked(), asked(id="b", type=""), asked(), asked(id="", data=None)], NOW, RULES)
    assert str(caught.value) == "Job type not specified."
    assert [tuple(violation) for violation in caught.value.violations] == [
        ("items[1].type", "Item 1 (id b): Job type not specified."),
        ("items[2].id", "Item 2 (id a): The id stands twice in the list."),
        ("items[3].data", "Item 3: No job data specified."),
    ]


def test_a_job_without_a_field_to_blame_has_a_path() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_jobs([asked(rest=b"x" * 65_536)], NOW, RULES)
    assert caught.value.violations[0].field == "items[0]"


def test_lists_have_a_greatest_length() -> None:
    rules = Rules(max_items=2)
    check_jobs([asked(id="1"), asked(id="2")], NOW, rules)
    check_ids(["1", "2"], rules)
    with pytest.raises(TooLarge, match="3 items; the limit is 2. .*SCHEDULING_MAX_ITEMS"):
        check_jobs([asked()] * 3, NOW, rules)
    with pytest.raises(TooLarge, match="3 ids; the limit is 2. .*SCHEDULING_MAX_ITEMS"):
        check_ids(["1"] * 3, rules)


@pytest.mark.parametrize("text", ["100 years", "0 0 29 2 *", "@yearly"])
def test_due_times_stay_within_what_the_store_can_hold(text: str) -> None:
    """Scores are rank * 2^48 + due, and records say the time as RFC 3339."""
    trigger = find_trigger(asked(interval=text), NOW, RULES)
    assert NOW < trigger.due < 2**48


def test_a_relative_when_is_kept_as_the_instant_that_it_meant() -> None:
    """The record still has the text of the client. In protobuf the last value of a field counts."""
    asked_for = job_pb2.Job(when="in 2 hours", priority=job_pb2.Job.HIGH)
    request = asked(when=asked_for.when, rest=asked_for.SerializeToString())
    (job,) = check_jobs([request], NOW, RULES)
    kept = job_pb2.Job.FromString(rest_of(job.record))
    assert kept.when == rfc3339(NOW + 7_200_000).decode()
    assert kept.priority == job_pb2.Job.HIGH
    absolute = rfc3339(NOW + 60_000).decode()
    (job,) = check_jobs([asked(when=absolute, rest=b"")], NOW, RULES)
    assert rest_of(job.record) == b""
