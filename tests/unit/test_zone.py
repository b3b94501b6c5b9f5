"""Time zone names."""

import pytest

from scheduling_client.schedules.errors import Unparsable
from scheduling_client.schedules.zone import zone


@pytest.mark.parametrize(
    "name", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Argentina/Ushuaia", "US/Pacific"]
)
def test_an_iana_name_is_known(name: str) -> None:
    assert zone(name).key == name
    assert zone(name) is zone(name)


def test_no_name_is_utc() -> None:
    assert zone("").key == "UTC"


@pytest.mark.parametrize(
    "name",
    [
        " ",
        "Mars/Olympus",
        "europe/berlin",
        "Europe/Berlin ",
        "Europe",
        "Europe/",
        "/Europe/Berlin",
        "/etc/passwd",
        "../zoneinfo/UTC",
        "Europe/../UTC",
        "./UTC",
        "right/UTC",
        "posix/UTC",
        "posixrules",
        "localtime",
        "tzdata.zi",
        "zone.tab",
        "CET+1",
        "UTC+01:00",
        "+01:00",
        "UTC\x00",
        "\x00",
        "\ud800",
        "Europe\\Berlin",
        "Z" * 10_000_000,
    ],
)
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(
        Unparsable, match=r"^Time zone '.*is not known: give an IANA name"
    ) as caught:
        zone(name)
    assert len(str(caught.value)) < 200
