"""A trace context is kept if it is valid, and never fails a call."""

import pytest

from scheduling_srv.formats.trace import trace_from_headers

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_both_parts_are_kept() -> None:
    context = trace_from_headers([("traceparent", PARENT), ("tracestate", b"a=1,b=2"), ("x", "y")])
    assert context == f"{PARENT}\na=1,b=2".encode()


@pytest.mark.parametrize("state", ["", "a\nb", "é", "x" * 513])
def test_a_bad_state_does_not_cost_the_parent(state: str) -> None:
    assert trace_from_headers([("Traceparent", PARENT), ("tracestate", state)]) == PARENT.encode()


@pytest.mark.parametrize(
    "parent",
    [
        "",
        PARENT.upper(),
        PARENT[:-1],
        f"{PARENT}-x",
        f"{PARENT}\n",
        "ff" + PARENT[2:],
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
    ],
)
def test_without_a_valid_parent_there_is_none(parent: str) -> None:
    assert trace_from_headers([("traceparent", parent), ("tracestate", "a=1")]) == b""
    assert trace_from_headers([("traceparent", None)]) == b""
