"""A job as a client of scheduling.v1 defines it, before anything is checked."""

from __future__ import annotations

from dataclasses import dataclass, field

from scheduling_srv.domain.job import JobRequest
from scheduling_srv.domain.properties import Properties


@dataclass(frozen=True, slots=True)
class Definition:
    """The part that the contract of 2018 can say, and the rest."""

    request: JobRequest
    trigger: str
    """The field of `Schedule` that is set; empty: none."""
    properties: Properties = field(default_factory=Properties)
    spec: bytes = b""
    """A serialized `StoredSpec`; empty: the rest says all."""
