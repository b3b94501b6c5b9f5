"""The meaning of Redis's errors: one table, by redis-py's class, and else by the error's prefix.

redis-py cuts the prefix off an error that it has a class for, and `ERR` off any. A script that
fails passes on the error of its command, with the class or the prefix at its beginning. Only a
refused right loses it (`ERR ACL failure in script`), so rights are asked for at the start
(`preflight.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from redis import exceptions

from scheduling_srv.adapters.redis import reasons
from scheduling_srv.domain.errors import StoreFault, StoreFull, StoreRefused, StoreUnavailable
from scheduling_srv.formats.versions import newer


class Meaning(Enum):
    """The state of the server that an error shows."""

    ABSENT = "absent"
    """It does not answer."""
    BUSY = "busy"
    """It cannot serve any client now."""
    REPLICA = "replica"
    """It is not the primary, or not any more: its data may be old."""
    FULL = "full"
    """It has reached its `maxmemory`."""
    RIGHTS = "rights"
    """It does not let this user in, or not do this."""
    CREDENTIALS = "credentials"
    """It does not take this user's name and password, or asks for them."""
    CLUSTER = "cluster"
    """It is in cluster mode."""
    SETTING = "setting"
    """It lacks a database or a feature that the settings, or this version, need."""
    UNKNOWN_SCRIPT = "unknown script"
    """It does not know the script yet: the client sends it, without a log line."""
    OURS = "ours"
    """A script or this client is at fault."""
    AGAIN = "again"
    """A script has done a part of its work, and wants to be called again."""
    NEWER = "newer"
    """A script has met data that a later version of the service stored."""
    OTHER = "other"
    """It has answered an error that no version known to us has."""


class CallAgain(Exception):
    """A script has done a part of its work. Calling it again goes on."""


BY_CLASS: Mapping[type[Exception], Meaning] = {
    exceptions.NoScriptError: Meaning.UNKNOWN_SCRIPT,
    exceptions.ReadOnlyError: Meaning.REPLICA,
    exceptions.MasterDownError: Meaning.REPLICA,
    exceptions.BusyLoadingError: Meaning.BUSY,
    exceptions.OutOfMemoryError: Meaning.FULL,
    exceptions.AuthenticationError: Meaning.CREDENTIALS,
    exceptions.AuthenticationWrongNumberOfArgsError: Meaning.CREDENTIALS,
    exceptions.AuthorizationError: Meaning.RIGHTS,
    exceptions.ExternalAuthProviderError: Meaning.BUSY,
    exceptions.NoPermissionError: Meaning.RIGHTS,
    exceptions.AskError: Meaning.CLUSTER,
    exceptions.MovedError: Meaning.CLUSTER,
    exceptions.TryAgainError: Meaning.CLUSTER,
    exceptions.ClusterError: Meaning.CLUSTER,
    exceptions.ClusterDownError: Meaning.CLUSTER,
    exceptions.ClusterCrossSlotError: Meaning.CLUSTER,
    exceptions.RedisClusterException: Meaning.CLUSTER,
    exceptions.SlotNotCoveredError: Meaning.CLUSTER,
    exceptions.CrossSlotTransactionError: Meaning.CLUSTER,
    exceptions.ConnectionError: Meaning.ABSENT,
    exceptions.TimeoutError: Meaning.ABSENT,
    exceptions.MaxConnectionsError: Meaning.ABSENT,
    exceptions.ChildDeadlockedError: Meaning.ABSENT,
    exceptions.InvalidResponse: Meaning.ABSENT,
    exceptions.RedisError: Meaning.ABSENT,
    exceptions.ModuleError: Meaning.OURS,
    exceptions.NoSuchFieldsetError: Meaning.OURS,
    exceptions.ExecAbortError: Meaning.OURS,
    exceptions.DataError: Meaning.OURS,
    exceptions.PubSubError: Meaning.OURS,
    exceptions.WatchError: Meaning.OURS,
    exceptions.LockError: Meaning.OURS,
    exceptions.LockNotOwnedError: Meaning.OURS,
    exceptions.InvalidPipelineStack: Meaning.OURS,
    exceptions.IncorrectPolicyType: Meaning.OURS,
}
"""Every class of redis-py but `ResponseError`: that one has no meaning of its own."""

BY_PREFIX: Mapping[str, Meaning] = {
    "REDIRECT": Meaning.REPLICA,
    "BUSY": Meaning.BUSY,
    "MISCONF": Meaning.BUSY,
    "NOREPLICAS": Meaning.BUSY,
    "UNKILLABLE": Meaning.BUSY,
    "DENIED": Meaning.RIGHTS,  # protected mode
    "NOPROTO": Meaning.SETTING,
    "ERR Error compiling script": Meaning.SETTING,  # older than 7.0
    "ERR unknown command": Meaning.SETTING,  # renamed or removed by its operator
    "ERR user_script:": Meaning.OURS,  # Lua itself has failed
    "WRONGTYPE": Meaning.OURS,
    "OPENING": Meaning.AGAIN,  # of `lua/lib/opening.lua`
    "NEWERDATA": Meaning.NEWER,  # of `lua/lib/base.lua`
}
"""Beginnings of errors that redis-py has no class for. All others mean `OTHER`."""

SENTENCES: Mapping[Meaning, tuple[type[StoreUnavailable], str]] = {
    Meaning.ABSENT: (StoreUnavailable, "Redis does not answer: {}"),
    Meaning.BUSY: (StoreUnavailable, "Redis refuses: {}"),
    Meaning.OTHER: (StoreUnavailable, "Redis refuses: {}"),
    Meaning.REPLICA: (StoreUnavailable, "Redis is a read-only replica, not the primary: {}"),
    Meaning.FULL: (StoreFull, "Redis is full: it has reached its maxmemory. Nothing was changed."),
    Meaning.RIGHTS: (
        StoreRefused,
        "Redis refuses this user: {} Check SCHEDULING_REDIS_URL and the rights of its user.",
    ),
    Meaning.CREDENTIALS: (
        StoreRefused,
        "Redis refuses this user: {said} {address} refuses the password: check {supplied_by}.",
    ),
    Meaning.CLUSTER: (
        StoreRefused,
        "Redis is in cluster mode: SCHEDULING_REDIS_URL has to name a server that is not.",
    ),
    Meaning.SETTING: (
        StoreRefused,
        "Redis does not have what is needed: {} Check SCHEDULING_REDIS_URL (Redis >= 7.0).",
    ),
    Meaning.OURS: (StoreFault, "Redis has answered an error that this version does not know: {}"),
}
"""Meaning -> error and its sentence. `{}` or `{said}` is the server's text, as a sentence."""


def meaning_of(fault: BaseException) -> Meaning:
    """The meaning of any error of redis-py or of the network."""
    if type(fault) is exceptions.ResponseError:
        # Of errors without a class, redis-py cuts `ERR` off and leaves other prefixes.
        text = f"{fault.status_code or ''} {fault}".strip()
        known = (meaning for start, meaning in BY_PREFIX.items() if text.startswith(start))
        return next(known, Meaning.OTHER)
    classes = (BY_CLASS[kind] for kind in type(fault).__mro__ if kind in BY_CLASS)
    return next(classes, Meaning.ABSENT)


def translated(
    fault: BaseException,
    *,
    connecting: bool = False,
    address: str = "",
    tls: bool = False,
    supplied_by: str = "SCHEDULING_REDIS_URL",
) -> StoreUnavailable:
    """Our error for it. `address` is that of the server, as the URL names it.

    `supplied_by` names the setting that has the password.

    While `connecting` an error of no known kind means a wrong setting: it answers the choice of a
    database or of a name. `tls` says whether the connection was made with it, if that is known.
    """
    meaning = meaning_of(fault)
    if connecting and meaning is Meaning.OTHER:
        meaning = Meaning.SETTING
    if meaning is Meaning.ABSENT and getattr(fault, "status_code", None):
        meaning = Meaning.BUSY  # it has answered, only that it does not serve
    said = _said(fault)
    if meaning is Meaning.NEWER:
        _, what, found = said.removesuffix(".").split()
        return newer(what, int(found))
    kind, sentence = SENTENCES[meaning]
    if meaning is Meaning.ABSENT and address:
        said = reasons.in_words(said, address, tls=tls, connecting=connecting)
    return kind(sentence.format(said, said=said, address=address or "It", supplied_by=supplied_by))


def _said(fault: BaseException) -> str:
    """The server's words as a sentence, without where in a script they were said."""
    text = (str(fault) or type(fault).__name__).partition(" script: ")[0].strip()
    return text if text.endswith((".", "?", "!")) else f"{text}."
