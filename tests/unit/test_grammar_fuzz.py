"""Any text is understood or refused; no other error, and never slowly."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling_client.schedules.cron import Cron, looks_like_cron
from scheduling_client.schedules.errors import Unparsable
from scheduling_client.schedules.interval import parse_interval
from scheduling_client.schedules.when import parse_when
from scheduling_client.schedules.zone import zone
from tests.harness.cpu import cpu_seconds

BERLIN = ZoneInfo("Europe/Berlin")
NOW_MS = 1_711_846_800_000

# Pieces of the grammars in any order come much closer to them than any characters do.
PIECES = st.sampled_from(
    "* , - / # L ? @ W 0 1 5 7 59 60 2018 01 30 : . + ( ) a an half and in at on next from now"
    " every twenty twenty-five five monday friday tomorrow today noon midnight am pm jan january"
    " GMT Z T P PT H M S D Y W ms minutes hour weeks months years @daily MON-FRI 1#2 5L st th of"
    " daily weekdays mondays to through other first last weekday of the month every @every 15W LW"
    " L-3 sat-sun January CRON_TZ=UTC weekly monthly"
    " \u0665 \x00 \u00a0 2018-01-15 T10:30:00 +01:00 10:30 01/15/2018 \ud800 \u0130 \u212a".split(
        " "
    )
)
TEXTS = st.one_of(
    st.text(max_size=40),
    st.tuples(st.lists(PIECES, max_size=9), st.sampled_from(["", " ", ", "])).map(
        lambda drawn: drawn[1].join(drawn[0])
    ),
    st.lists(st.one_of(PIECES, st.just(" ")), max_size=12).map("".join),
)

GRAMMARS: list[Callable[[str], object]] = [
    lambda text: Cron.parse(text).next_after(NOW_MS, BERLIN),
    parse_interval,
    lambda text: parse_when(text, NOW_MS, BERLIN),
    zone,
]


def answer(grammar: Callable[[str], object], text: str) -> object:
    """Return what the grammar makes of the text, None if it is refused with a short sentence."""
    try:
        return grammar(text)
    except Unparsable as error:
        sentence = str(error)
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert len(sentence) < 600
    return None


@settings(max_examples=1500, deadline=None)
@given(TEXTS)
def test_any_text_is_understood_or_refused(text: str) -> None:
    looks_like_cron(text)
    for grammar in GRAMMARS:
        found = answer(grammar, text)
        assert found is None or not isinstance(found, int) or found > -(10**14)


@settings(max_examples=500, deadline=None)
@given(TEXTS)
def test_an_interval_is_cron_or_words_but_never_both(text: str) -> None:
    understood = [g for g in (Cron.parse, parse_interval) if answer(g, text) is not None]
    assert len(understood) < 2
    if understood:
        assert looks_like_cron(text) == (understood[0] == Cron.parse)


@pytest.mark.parametrize("size", [190, 990, 100_000, 10_000_000])
@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "a ",
        "1 ",
        "*/",
        "1-",
        ",",
        "1,",
        " ",
        "1h",
        "and ",
        "(",
        "\x00",
        "5 m ",
        "jan ",
        "monday, ",
        "at ",
        "of the month ",
        "CRON_TZ=",
        "lw,",
    ],
)
def test_no_text_is_slow(piece: str, size: int) -> None:
    text = piece * (size // len(piece))

    def read() -> None:
        looks_like_cron(text)
        for grammar in GRAMMARS:
            answer(grammar, text)
            answer(grammar, f"1 {text}!")

    # Most of it is the hash of a long zone name and the copies made here.
    assert cpu_seconds(read) < 0.5
