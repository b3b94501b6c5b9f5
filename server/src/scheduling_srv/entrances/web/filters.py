"""Which jobs a page shows, and in which order: kept in its address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scheduling_client.api.jobs import Filter, JobState, Order
from scheduling_srv.domain.errors import InvalidRequest
from scheduling_srv.entrances.web.filter_bar import FilterBar
from scheduling_srv.entrances.web.rendering import link

STATES: Mapping[str, JobState] = {
    state.name.lower(): state for state in JobState if state is not JobState.UNKNOWN
}
ORDERS: Mapping[str, Order] = {
    "next": Order.NEXT_DUE,
    "newest": Order.NEWEST,
    "oldest": Order.CREATED,
}
FIRST_ORDER = "next"


@dataclass(frozen=True, slots=True)
class Asked(FilterBar):
    """The filter bar, as texts."""

    FIELDS = ("type", "creator", "label", "state", "id")

    type: str = ""
    creator: str = ""
    label: str = ""
    """`key=value`, several separated by commas."""
    state: str = ""
    id: str = ""
    """The beginning of the id."""
    order: str = FIRST_ORDER

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Asked:
        """From the parameters of an address, or the fields of a form."""
        texts = {name: given.get(name, "").strip() for name in cls.FIELDS}
        order = given.get("order", "").strip()
        return cls(**texts, order=order if order in ORDERS else FIRST_ORDER)

    def where(self) -> Filter:
        """Raises `InvalidRequest` for labels and states that are none."""
        if self.state and self.state not in STATES:
            raise InvalidRequest(f"There is no state {self.state!r}: {', '.join(STATES)}.")
        states = [STATES[self.state]] if self.state else []
        return Filter(
            type=self.type,
            creator=self.creator,
            labels=labels_in(self.label),
            id_prefix=self.id,
            states=states,
        )

    def address(self, token: str = "", **other: str) -> str:
        """The page of these jobs; `other` are conditions that replace those here."""
        order = "" if self.order == FIRST_ORDER else self.order
        return link("/jobs", **{**self.filters, "order": order, **other}, after=token)

    @property
    def words(self) -> str:
        """The conditions, for a question."""
        names = {"label": "labels", "id": "id beginning with"}
        return ", ".join(f"{names.get(name, name)} {each}" for name, each in self.filters.items())


def labels_in(text: str) -> dict[str, str]:
    """`key=value`, separated by commas or lines. Raises `InvalidRequest`."""
    pairs = [each.strip() for each in text.replace("\n", ",").split(",") if each.strip()]
    for pair in pairs:
        if "=" not in pair:
            raise InvalidRequest(f"{pair!r} is no label: write it as key=value.")
    parts = (pair.partition("=") for pair in pairs)
    return {key.strip(): value.strip() for key, _, value in parts}
