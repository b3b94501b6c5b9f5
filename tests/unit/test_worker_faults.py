"""The worker kit beside faults of others: one bad record or handler does not end the worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import pydantic
import pytest

from scheduling_client.worker import Ended, Item, Run, Worker

Handler = Callable[..., Any]


def a_run(payload: bytes = b"") -> Run:
    return Run(id=7, type="t", payload=(Item("", payload),))


# --- Payloads and handlers ----------------------------------------------------------------------


@dataclass
class Keyed:
    name: str

    def __post_init__(self) -> None:
        {}[self.name]


class Validated(pydantic.BaseModel):
    number: int

    @pydantic.field_validator("number")
    @classmethod
    def found(cls, number: int) -> int:
        if number:
            raise SystemExit("secret")
        raise KeyError("secret")


class Mute(Exception):
    def __str__(self) -> str:
        raise KeyError("secret")


async def take_any(payload: Any) -> None: ...
async def take_keyed(payload: Keyed) -> None: ...
async def take_validated(payload: Validated) -> None: ...
async def take_set(payload: set[Any]) -> None: ...


@pytest.mark.parametrize(
    ("handler", "payload"),
    [
        (take_any, b"[" * 100_000),
        (take_keyed, b'{"name": "secret"}'),
        (take_validated, b'{"number": 0}'),
        (take_validated, b'{"number": 1}'),
        (take_set, b"[[1]]"),
    ],
)
async def test_a_payload_that_breaks_its_reader_is_discarded(
    handler: Handler, payload: bytes
) -> None:
    worker = Worker("w")
    worker.job("t")(handler)
    ended = await worker.run_one(a_run(payload))
    assert ended.final
    assert "secret" not in str(ended.error)


def leave() -> NoReturn:
    raise SystemExit(3)


def close() -> NoReturn:
    raise GeneratorExit


def mumble() -> NoReturn:
    raise Mute


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (leave, "SystemExit: 3"),
        (close, "RuntimeError: The function raised GeneratorExit."),
        (mumble, "Mute"),
    ],
)
async def test_a_thread_that_raises_anything_fails_the_run(function: Handler, error: str) -> None:
    worker = Worker("w")
    worker.job("t")(function)
    assert await worker.run_one(a_run()) == Ended(error)


async def test_a_child_process_that_exits_fails_the_run() -> None:
    worker = Worker("w")
    worker.job("t", processes=True)(leave)
    assert await worker.run_one(a_run()) == Ended("SystemExit: 3")


async def test_a_coroutine_that_exits_fails_the_run() -> None:
    worker = Worker("w")

    @worker.job("t")
    async def handle() -> None:
        leave()

    assert await worker.run_one(a_run()) == Ended("SystemExit: 3")
