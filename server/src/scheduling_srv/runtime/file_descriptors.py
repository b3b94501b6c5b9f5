"""File descriptors: asks for enough of them, and says when there are none (docs/operations.md).

gRPC, librdkafka, Redis and HTTP share those of the process. Without one, none of them can connect,
and gRPC and HTTP refuse clients without a word.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import socket

import structlog

from scheduling_srv.runtime.states import Kind, State

PER_SHARD = 100
"""25 connections to Redis; those of the producers and consumers to the brokers."""
SPARE = 500
"""Files, the embedded broker, and connections that are about to be refused."""
TICK_SECONDS = 1.0

log = structlog.get_logger(__name__)


def needed(shards: int, connections: int) -> int:
    """Descriptors for so many shards, and connections of clients."""
    return connections + shards * PER_SHARD + SPARE


def raise_limit(wanted: int) -> None:
    """Raise the soft limit to `wanted`, or as far as the hard one allows. Never lowers it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _reaches(soft, wanted):
        return
    allowed = wanted if _reaches(hard, wanted) else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError) as fault:  # macOS has a limit below an unlimited hard one
        log.warning("the limit of open files stays", limit=soft, wanted=wanted, reason=str(fault))
        return
    if allowed < wanted:
        log.warning(
            "the hard limit of open files is too low: many clients may use up all of them",
            limit=allowed,
            wanted=wanted,
            remedy="raise it with ulimit -Hn, LimitNOFILE= or --ulimit nofile=",
        )


async def watch() -> None:
    """Log when no descriptor is left, until cancelled. Each library hides this in another way."""
    state = State("no file descriptor is left", "file descriptors are left", kind=Kind.CAUSE)
    while True:
        look(state)
        await asyncio.sleep(TICK_SECONDS)


def look(state: State) -> None:
    """Take a descriptor, and give it back."""
    try:
        socket.socket().close()
    except OSError as fault:
        if fault.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        state.fails(
            f"{fault.strerror}: this process may open {limit}. Connections to Redis and Kafka"
            " cannot be opened, and clients are refused. Raise the limit (ulimit -n), or find the"
            " client with too many connections."
        )
    else:
        state.works()


def _reaches(limit: int, wanted: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= wanted
