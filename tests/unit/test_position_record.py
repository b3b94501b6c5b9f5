"""The position record: versions read what others have written (docs/decisions/0008)."""

import json

from scheduling_srv.formats.position_record import (
    Position,
    dump_position,
    parse_position,
    position_headers,
)

FIRST = b"""{"number": 7, "incarnation": "inc", "at": 1, "replay_from": 2, "seq": 3, "instance": 4,
"reset": 5, "cleared": 6, "inputs": {"jobs:0": 8}, "lineage": "l"}"""
"""As e0dce88 has written it."""


def read(position: Position) -> Position:
    return parse_position(dump_position(position), dict(position_headers(position)))


def test_it_is_read_as_it_was_written() -> None:
    position = Position(7, "inc", 1, 2, 3, 4, 5, 6, {"a:0": 8}, "l", {"a:0": "8 9 id"})
    assert read(position) == position
    assert read(Position(1, "i")) == Position(1, "i")


def test_the_deployment_is_read_as_it_was_written() -> None:
    position = Position(7, "inc", origins={"a:0": "8 9 id"}, deployment="0123456789ab")
    assert read(position) == position
    assert read(Position(7, "inc", deployment="0123456789ab")).deployment == "0123456789ab"


def test_the_offsets_of_runs_are_read_as_they_were_written() -> None:
    position = Position(7, "inc", lineage="l", runs={0: 8, 12: 1})
    assert read(position) == position
    many = Position(7, "inc", lineage="l", runs=dict.fromkeys(range(5_000), 1 << 40))
    assert read(many) == many


def test_thousands_of_partitions_fit_into_a_record() -> None:
    """Kafka takes one megabyte."""
    names = [f"io.restorecommerce.jobs:{number}" for number in range(10_000)]
    origin = "123456 1700000000000 XG5Wp0s0Sb+nrOm4OYLqZw"
    position = Position(
        1, "i", inputs=dict.fromkeys(names, 123_456), origins=dict.fromkeys(names, origin)
    )
    assert read(position) == position
    size = sum(len(value) for _, value in position_headers(position))
    assert len(dump_position(position)) + size < 900_000


def test_one_of_before_the_identity_of_topics() -> None:
    expected = Position(7, "inc", 1, 2, 3, 4, 5, 6, {"jobs:0": 8}, "l")
    assert parse_position(FIRST, {}) == expected


def test_versions_of_before_read_ours() -> None:
    """They know these fields and no others; what is new is a header."""
    position = Position(
        7,
        "inc",
        inputs={"a:0": 8},
        origins={"a:0": "8 9 id"},
        deployment="0123456789ab",
        format=1,
        runs={0: 8},
    )
    assert json.loads(dump_position(position)).keys() == json.loads(FIRST).keys()


def test_the_format_is_a_header() -> None:
    position = Position(7, "inc", deployment="0123456789ab", format=1)
    assert read(position) == position
    assert ("format", b"1") in position_headers(position)
    assert parse_position(FIRST, {}).format == 0


def test_fields_of_a_later_version_are_kept() -> None:
    """So that neither a roll-back nor what follows it loses them."""
    later = json.dumps(json.loads(FIRST) | {"added": {"x": [1]}}).encode()
    position = parse_position(later)
    assert position.unknown == {"added": {"x": [1]}}
    assert json.loads(dump_position(position)) == json.loads(later)


def test_a_field_that_is_missing_has_its_default() -> None:
    assert parse_position(b"{}") == Position(0, "")
    assert parse_position(b'{"number": 3}') == Position(3, "")
