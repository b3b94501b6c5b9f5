"""Writes the rights that the service needs of Kafka into docs/operations.md: `make docs`.

A test runs the service with exactly these, on a broker whose authorizer is on.
"""

from __future__ import annotations

from pathlib import Path

from scheduling_srv.adapters.kafka.needed_rights import RIGHTS

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"
BEGIN, END = "<!-- rights of Kafka: make docs -->\n", "<!-- end of rights_of_kafka -->\n"


def with_rights(page: str) -> str:
    """The page with its table as it has to be."""
    rows = ["| resource | name | operations | why |", "|---|---|---|---|"]
    rows += [
        f"| {right.resource} | `{right.name}` | {right.operations.replace(' ', ', ')}"
        f" | {right.why} |"
        for right in RIGHTS
    ]
    rows.append("| topic | all of these | Create | unless `SCHEDULING_CREATE_TOPICS=false` |")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n" + "\n".join(rows) + f"\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_rights(PAGE.read_text()))
