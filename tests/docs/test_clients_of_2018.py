"""The table of cron expressions in docs/clients-of-2018.md, row by row."""

from datetime import UTC, datetime

import pytest

from scheduling_client.schedules.cron import Cron
from scheduling_client.schedules.errors import Unparsable
from scheduling_client.schedules.zone import zone
from tests.docs.snippets import ROOT

PAGE = (ROOT / "docs" / "clients-of-2018.md").read_text()
NOW = round(datetime(2030, 1, 15, 10, tzinfo=UTC).timestamp() * 1000)
ROWS = [
    [cell.strip(" `") for cell in row.strip("|").split("|")]
    for row in PAGE.splitlines()
    if row.startswith("| `0 ")
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_cron_expression(row: list[str]) -> None:
    expression, _, here, due = row
    if here == "refused":
        with pytest.raises(Unparsable):
            Cron.parse(expression)
        return
    expected = datetime.fromisoformat(f"{due}+00:00").timestamp() * 1000
    assert Cron.parse(expression).next_after(NOW, zone("UTC")) == expected


def test_the_table_has_its_rows() -> None:
    assert len(ROWS) == 6
    assert "after 2030-01-15T10:00Z" in PAGE
