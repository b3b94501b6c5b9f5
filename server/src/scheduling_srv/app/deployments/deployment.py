"""Which service this is, and how its consumer tells Kafka (docs/decisions/0019)."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from scheduling_srv.formats.kafka_records import DEPLOYMENT, Headers

ID_BYTES = 6
RANGES = 1 << 12
"""Ranges of instance ids in which new deployments begin."""
RANGE_SIZE = 1 << 20
RANGE_DIGITS = 3
"""Hex digits of a deployment id that choose its range."""

CLIENT_ID = re.compile(r"(?P<client>.+)\.d-(?P<d>[0-9a-f]{12})\.r-(?P<r>[0-9a-f]{12})\.n-(?P<n>.+)")
NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9._-]")
"""Quotas and metrics of Kafka take all other characters as they are."""


class Identity(NamedTuple):
    """Kept in Redis, one for all replicas."""

    deployment: str
    fingerprint: str
    """Names the content of Redis. It changes whenever Redis was emptied."""


class Tag(NamedTuple):
    """The identity in the client id of a consumer."""

    deployment: str
    fingerprint: str
    name: str
    """Name of the replica."""


OLDER = Tag("", "", "")
"""A replica of ours whose version does not say who it is: 0.1, up to commit e0dce88."""


class Member(NamedTuple):
    """A living member of a consumer group that is a service like this one."""

    tag: Tag
    group: str
    host: str
    topics: frozenset[str]
    """Topics of its partitions."""
    stable: bool = True
    """Whether its group is stable. If not, Kafka may leave out the partitions."""

    @property
    def place(self) -> str:
        """For operators: the address that Kafka sees, and the name of the replica."""
        return f"{self.host} ({self.tag.name})" if self.tag.name else self.host


def random_id() -> str:
    """A new deployment id or fingerprint."""
    return os.urandom(ID_BYTES).hex()


def replica_name(host: str, pid: int) -> str:
    """A name that no other replica has, in characters that Kafka and Redis take."""
    return f"{NOT_IN_NAMES.sub('-', host)}-{pid}-{os.urandom(3).hex()}"


def tagged(client_id: str, tag: Tag) -> str:
    """The client id of a consumer."""
    return f"{client_id}.d-{tag.deployment}.r-{tag.fingerprint}.n-{tag.name}"


def tag_of(client_id: str) -> Tag | None:
    """None: not a service like this one, or an older version."""
    found = CLIENT_ID.fullmatch(client_id)
    return Tag(found["d"], found["r"], found["n"]) if found else None


def first_instance(deployment: str) -> int:
    """The counter of instance ids at the first start of a deployment; 0 for none."""
    return int(deployment[:RANGE_DIGITS] or "0", 16) % RANGES * RANGE_SIZE


class Deployment:
    """The identity of this replica, as far as it is known."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.id = ""
        self.fingerprint = ""
        self.headers: Headers = []
        """Of each queuedJob; the list stays the same one."""
        self.ids: set[str] = set()
        """All ids that this process has known as its own."""
        self.fingerprints: set[str] = set()

    @property
    def tag(self) -> Tag:
        """The identity for the client id on Kafka."""
        return Tag(self.id, self.fingerprint, self.name)

    @property
    def identity(self) -> Identity:
        """The identity that Redis keeps."""
        return Identity(self.id, self.fingerprint)

    def be(self, identity: Identity) -> None:
        """Set the identity that all replicas have agreed on."""
        self.id, self.fingerprint = identity
        self.ids.add(self.id)
        self.fingerprints.add(self.fingerprint)
        self.headers[:] = [(DEPLOYMENT, self.id.encode())]

    def is_foreign(self, header: bytes | None) -> bool:
        """Whether a record has the header of another deployment. None: an older version's."""
        return header is not None and header.decode(errors="replace") not in self.ids

    def has_another_redis(self, member: Member) -> bool:
        """Whether it is of this deployment, but not of any Redis content that we have known."""
        tag = member.tag
        return tag.deployment in self.ids and tag.fingerprint not in self.fingerprints
