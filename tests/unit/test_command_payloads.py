"""A command's payload is a JSON object, however it was wrapped, or a sentence says what it is."""

import base64
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling_srv.app.commands.payloads import Json, RestoreRequest, parse_payload, parse_restore
from scheduling_srv.domain.errors import InvalidRequest

TOPIC = "io.restorecommerce.jobs.resource"


@pytest.mark.parametrize("raw", [None, b"", b" \n", b"null", b"{}", b"e30=", b"bnVsbA=="])
def test_nothing_is_an_empty_object(raw: bytes | None) -> None:
    assert parse_payload(raw) == {}


@pytest.mark.parametrize(
    "raw",
    [
        '{"service": "ä"}'.encode(),
        '\ufeff{"service": "ä"}'.encode(),
        base64.b64encode('{"service": "ä"}'.encode()),
        base64.encodebytes('{"service": "ä"}'.encode()),
    ],
)
def test_json_may_come_in_base64(raw: bytes) -> None:
    assert parse_payload(raw) == {"service": "ä"}


@pytest.mark.parametrize(
    "raw",
    [
        b"nope",
        b"{",
        b"[]",
        b"1",
        b'"x"',
        b"\xff{}",
        b'{"a": NaN}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
        b"W10=",
        b"e30",
        b"e30=!",
        b"\x00",
    ],
)
def test_everything_else_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"payload is not a JSON object") as refused:
        parse_payload(raw)
    assert refused.value.violations[0].field == "payload"


@pytest.mark.parametrize("encode", [bytes, base64.b64encode])
def test_a_name_may_not_stand_twice(encode: Callable[[bytes], bytes]) -> None:
    """Before, the first of two `jobs` was dropped without a word."""
    raw = encode(b'{"jobs": {"offset": 5, "offset": 0}}')
    with pytest.raises(InvalidRequest, match="payload has 'offset' twice: keep one of them."):
        parse_payload(raw)
    assert parse_payload(encode(b'{"jobs": {"offset": 5}}')) == {"jobs": {"offset": 5}}


@given(st.binary(max_size=50))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with suppress(InvalidRequest):
        assert isinstance(parse_payload(raw), dict)


@pytest.mark.parametrize(
    "payload",
    [
        {"jobs": {"offset": 5, "ignore_offset": [6, "8"]}},
        {"jobs": {"base_offset": "5", "ignore_offset": [6, 8]}, "users": {"offset": "nonsense"}},
        {"topics": [{"topic": TOPIC, "offset": 5, "ignore_offset": [6, 8]}]},
        {"topics": [{"topic": "users"}, {"topic": TOPIC, "offset": 5, "ignore_offset": [6, 8]}]},
        {"data": [{"entity": "jobs", "base_offset": 5, "ignore_offset": [6, 8]}]},
        {"data": [{"entity": "jobs", "base_offset": 5, "ignore_offset": [8, 6, 6]}], "topics": []},
    ],
)
def test_the_three_shapes_of_restore(payload: dict[str, object]) -> None:
    assert parse_restore(payload, TOPIC) == RestoreRequest(TOPIC, 5, frozenset({6, 8}))


@pytest.mark.parametrize("entry", [{}, {"offset": None, "ignore_offset": None}, {"offset": 0}])
def test_a_restore_begins_at_zero_and_ignores_nothing(entry: dict[str, object]) -> None:
    assert parse_restore({"jobs": entry}, TOPIC) == RestoreRequest(TOPIC, 0, frozenset())


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "payload"),
        ({"users": {"offset": 1}}, "payload"),
        ({"topics": [{"topic": "users", "offset": 1}]}, "payload"),
        ({"data": []}, "payload"),
        ({"jobs": {}, "data": [{"entity": "jobs"}]}, "payload"),
        ({"data": [{"entity": "jobs"}, {"entity": "jobs"}]}, "payload"),
        ({"jobs": 5}, "payload.jobs"),
        ({"jobs": None}, "payload.jobs"),
        ({"topics": {"topic": TOPIC}}, "payload.topics"),
        ({"data": ["jobs"]}, "payload.data[0]"),
        ({"jobs": {"ignore_offset": 5}}, "payload.jobs.ignore_offset"),
        ({"jobs": {"ignore_offset": [None]}}, "payload.jobs.ignore_offset"),
    ],
)
def test_a_restore_of_nothing_usable(payload: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_restore(payload, TOPIC)
    assert refused.value.violations[0].field == field


@pytest.mark.parametrize(
    "offset", [-1, 2**63, 1.0, True, "", "-1", "1.0", "٣", "9" * 5000, [], {}], ids=repr
)
def test_what_is_no_offset(offset: object) -> None:
    with pytest.raises(InvalidRequest, match=r"Jobs\.offset .* is not an offset"):
        parse_restore({"jobs": {"offset": offset}}, TOPIC)


def test_what_would_hold_up_the_event_loop_is_refused() -> None:
    """A hundred restores with 130,000 ignored offsets each cost the lease again and again."""
    with pytest.raises(InvalidRequest, match="larger than 500000 bytes"):
        parse_payload(b" " * 500_001)
    ignored: Json = {"jobs": {"ignore_offset": [0] * 10_001}}
    with pytest.raises(InvalidRequest, match=r"has 10001 offsets; the limit is 10000"):
        parse_restore(ignored, "t")
