"""Which jobs a command shows or changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from scheduling_client.cli.commands.properties import labels_of

if TYPE_CHECKING:
    from scheduling_client.api.jobs import Filter

State = Literal["PAUSED", "RUNNING", "HELD", "RETRYING", "WAITING"]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Where:
    """Filters. All that are given apply."""

    type: Annotated[str, Parameter(help="Jobs of this type.")] = ""
    creator: Annotated[str, Parameter(help="Jobs of this creator.")] = ""
    label: Annotated[
        Sequence[str], Parameter(help="Jobs with this label `key=value`; several times: all.")
    ] = ()
    prefix: Annotated[str, Parameter(help="Jobs whose id begins so.")] = ""
    state: Annotated[Sequence[State], Parameter(help="Jobs in this state; several: any.")] = ()

    @property
    def given(self) -> bool:
        """Whether any filter is given."""
        return bool(self.type) or self.is_narrow

    @property
    def is_type_alone(self) -> bool:
        """Whether a type is given and nothing else: the command may mean the type itself."""
        return bool(self.type) and not self.is_narrow

    @property
    def is_narrow(self) -> bool:
        """Whether any other filter than a type is given."""
        return any((self.creator, self.label, self.prefix, self.state))

    def filter(self) -> Filter:
        """For the client."""
        from scheduling_client.api.jobs import Filter, JobState  # noqa: PLC0415

        return Filter(
            type=self.type,
            creator=self.creator,
            labels=labels_of(self.label),
            id_prefix=self.prefix,
            states=[JobState[name] for name in self.state],
        )
