"""Every credential that the fuzzer sends is wrong, and the door says so in a sentence."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.fuzz_doors import RIGHT, TOKEN, WRONG, credentials
from scheduling_srv.app.access.door import LONGEST_TOKEN, Door
from scheduling_srv.domain.errors import Unauthenticated
from scheduling_srv.service.doors import build
from scheduling_srv.settings.load import load

METHOD = "/io.restorecommerce.job.Service/Read"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Door:
    files = credentials(tmp_path_factory.mktemp("doors"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in files.items():
            patch.setenv(name, value)
        made = build(load()).door
    assert made
    return made


async def admitted(door: Door, header: str | None) -> str:
    return (await door.admit(METHOD, header, lambda: ())).name


@pytest.mark.parametrize("header", [*WRONG, b"Bearer " + b"x" * LONGEST_TOKEN])
async def test_the_door_refuses_it(door: Door, header: bytes) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await admitted(door, header.decode())
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 200


async def test_the_door_admits_the_right_token(door: Door) -> None:
    assert await admitted(door, f"Bearer {TOKEN}") == "fuzz"


@given(data=st.data())
def test_a_signed_token_that_was_changed_is_refused(data: st.DataObject, door: Door) -> None:
    """Any character of its head or its claims."""
    head = RIGHT.rindex(".")
    at = data.draw(st.integers(0, head - 1))
    letter = data.draw(st.sampled_from("abzAZ09-_.=!").filter(lambda each: each != RIGHT[at]))
    with pytest.raises(Unauthenticated):
        asyncio.run(admitted(door, f"Bearer {RIGHT[:at]}{letter}{RIGHT[at + 1 :]}"))


async def test_the_signed_token_itself_is_right(door: Door) -> None:
    assert await admitted(door, f"Bearer {RIGHT}") == "me"
