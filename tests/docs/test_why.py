"""The page about explanations names each verdict, and shows a sentence as the service says it."""

import re

from scheduling_client.api.explanations import Verdict
from scheduling_client.schedules.when import parse_when
from scheduling_client.schedules.zone import zone
from scheduling_srv.domain.explanation.reasons import WasPaused
from scheduling_srv.domain.explanation.words import sentences
from scheduling_srv.domain.intervals import EndedPause
from scheduling_srv.domain.pause import Pause
from scheduling_srv.domain.run import PassedBy
from tests.docs.snippets import ROOT

PAGE = (ROOT / "docs" / "why.md").read_text()


def test_every_verdict_is_there() -> None:
    assert re.findall(r"^\| `([A-Z_]+)`", PAGE, re.MULTILINE)[:-1] == [
        each.name for each in Verdict if each.value
    ]
    assert re.findall(r"^\| `([A-Z_]+)`", PAGE, re.MULTILINE)[-1] == Verdict.UNKNOWN.name


def test_every_reason_of_an_event_is_there() -> None:
    assert all(f"`{each}`" in PAGE for each in PassedBy)


def test_the_sentence_is_that_of_the_service() -> None:
    berlin = zone("Europe/Berlin")
    since, until = (parse_when(f"2027-04-05T0{hour}:00", 0, berlin) for hour in (1, 6))
    pause = EndedPause(Pause(since, "the report is wrong", "ann"), until, of_type=False)
    (sentence,) = sentences([WasPaused(pause)], berlin)
    assert f"```text\n{sentence}\n```" in PAGE
