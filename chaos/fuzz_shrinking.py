"""Removes what a fault does not take: delta debugging (Zeller and Hildebrandt, 2002)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from chaos.fuzz_inputs import Input

T = TypeVar("T")
CUT = "cut"
"""The mutation of an input that lost bytes here."""


def simplest(batch: Sequence[Input], fails: Callable[[Sequence[Input]], bool]) -> list[Input]:
    """The inputs that a fault takes, with the headers and bytes that it takes.

    `batch` must fail as it is. Texts of keys and paths stay.
    """
    left = smallest(batch, fails)
    for at, made in enumerate(left):

        def still_fails(simpler: Input, at: int = at) -> bool:
            return fails([*left[:at], simpler, *left[at + 1 :]])

        left[at] = _simpler(made, still_fails)
    return left


def _simpler(made: Input, fails: Callable[[Input], bool]) -> Input:
    if made.headers and fails(bare := made._replace(headers=())):
        made = bare
    if not made.value:
        return made

    def cut(raw: Sequence[int]) -> Input:
        return made._replace(value=bytes(raw), mutations=(*made.mutations, CUT))

    raw = smallest(made.value, lambda raw: fails(cut(raw)))
    return made if len(raw) == len(made.value) else cut(raw)


def smallest(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """The items that a failure takes: without any one of them, `fails` is false.

    `items` must fail as they are. A failure by one of n items takes about 2 log2(n) calls.
    """
    left = list(items)
    size = len(left) // 2
    while size:
        fewer = _without_pieces(left, size, fails)
        if size > 1 or len(fewer) == len(left):
            size //= 2
        left = fewer
    return left


def _without_pieces(items: list[T], size: int, fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """Without each piece of `size` items that the failure does not take."""
    at = 0
    while at < len(items):
        rest = items[:at] + items[at + size :]
        if rest and fails(rest):
            items = rest
        else:
            at += size
    return items
