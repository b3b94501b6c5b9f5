"""What the log hears of what fails: changes at once, what lasts once a minute."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from scheduling_srv.runtime.states import Kind, State, States


class World:
    def __init__(self) -> None:
        self.time = 0.0
        self.states = States(lambda: self.time)

    def state(self, name: str, kind: Kind = Kind.LOOP) -> State:
        return State(f"{name} fails", f"{name} works", kind=kind, states=self.states)

    def pass_to(self, seconds: float) -> None:
        while self.time < seconds:
            self.time += 1
            self.states.tick()


def told(lines: list[Any]) -> list[str]:
    return [line["event"] for line in lines]


def test_what_lasts_is_told_once_and_then_once_a_minute() -> None:
    world = World()
    server = world.state("server", Kind.CAUSE)
    with capture_logs() as lines:
        for second in range(150):
            server.fails("refused")
            world.pass_to(second)
        server.works()
        server.works()
    assert told(lines) == [
        "server fails",
        "server fails, still",
        "server fails, still",
        "server works",
    ]
    assert [line.get("for_seconds") for line in lines] == [None, 60, 120, None]
    assert lines[-1]["after_seconds"] == 149


def test_another_reason_is_told_but_not_at_once() -> None:
    world = World()
    server = world.state("server", Kind.CAUSE)
    with capture_logs() as lines:
        for second in range(30):
            server.fails("closed" if second % 2 else f"waited for {second} s")
            world.pass_to(second)
    assert told(lines) == ["server fails", "server fails"]
    assert {line["reason"].split()[0] for line in lines} == {"waited", "closed"}


def test_loops_are_silent_while_a_server_is_away_and_shortly_after() -> None:
    world = World()
    server, loop = world.state("server", Kind.CAUSE), world.state("loop")
    service = world.state("service", Kind.CHANGE)
    with capture_logs() as lines:
        loop.fails("away")  # it notices first
        server.fails("refused")
        service.fails("away")
        world.pass_to(100)
        server.works()
        world.pass_to(103)
        loop.works()
        service.works()
    assert told(lines) == [
        "server fails",
        "service fails",
        "server fails, still",
        "server works",
        "service works",
    ]


def test_a_loop_that_fails_without_a_server_is_told_after_a_while() -> None:
    world = World()
    loop = world.state("loop")
    with capture_logs() as lines:
        loop.fails("once")
        world.pass_to(3)
        loop.works()
        loop.fails("for long")
        world.pass_to(9)
        loop.fails("for long")
    assert [(line["event"], line["reason"]) for line in lines] == [("loop fails", "for long")]


def test_an_effect_is_told_at_once_unless_a_server_explains_it() -> None:
    world = World()
    server, effect = world.state("server", Kind.CAUSE), world.state("effect", Kind.EFFECT)
    with capture_logs() as lines:
        effect.fails("alone")
        effect.forget()
        server.fails("refused")
        effect.fails("away")
        world.pass_to(10)
        server.works()
        world.pass_to(12)
        effect.fails("still there")
        world.pass_to(20)
    assert [(line["event"], line.get("reason")) for line in lines] == [
        ("effect fails", "alone"),
        ("server fails", "refused"),
        ("server works", None),
        ("effect fails", "still there"),
    ]


@pytest.mark.parametrize("kind", [Kind.LOOP, Kind.EFFECT])
def test_a_reason_of_before_is_not_told_after_the_server_is_back(kind: Kind) -> None:
    """Its loop looks seldom: when it looks again, it may work."""
    world = World()
    server, loop = world.state("server", Kind.CAUSE), world.state("loop", kind)
    with capture_logs() as lines:
        server.fails("refused")
        loop.fails("away")
        world.pass_to(10)
        server.works()
        world.pass_to(30)
        assert told(lines) == ["server fails", "server works"]
        loop.fails("another reason")
        world.pass_to(36)
        loop.works()
    assert told(lines)[2:] == ["loop fails", "loop works"]
    assert lines[2]["reason"] == "another reason"


def test_a_loop_that_is_cancelled_leaves_no_trouble_open() -> None:
    world = World()
    with capture_logs() as lines:
        with world.state("loop").watched() as loop:
            loop.fails("away")
            world.pass_to(10)
        with world.state("other").watched() as other:
            other.fails("not for long")
        world.pass_to(100)
    assert told(lines) == ["loop fails", "loop fails, no longer watched"]


def test_listeners_hear_of_beginnings() -> None:
    world, heard = World(), list[str]()
    world.states.listeners.append(lambda: heard.append("now"))
    loop = world.state("loop")
    loop.fails("a")
    loop.fails("b")
    loop.works()
    loop.fails("c")
    assert heard == ["now", "now"]


def test_what_is_forgotten_is_not_well() -> None:
    world = World()
    server = world.state("server", Kind.CAUSE)
    with capture_logs() as lines:
        server.fails("refused")
        server.forget()
        world.pass_to(100)
    assert told(lines) == ["server fails"]
    assert not world.states.causes
