"""What both kinds of channel share."""

from __future__ import annotations

import grpc
from google.protobuf.message import Message

from scheduling_client.api.access import Access

DEFAULT_SERVER = "127.0.0.1:50054"
DEFAULT_TIMEOUT_SECONDS = 20.0
LARGEST_ANSWER_BYTES = 40 << 20
"""The service answers with no more (docs/contract.md)."""
OPTIONS = [
    ("grpc.max_receive_message_length", LARGEST_ANSWER_BYTES),
    # gRPC's own retries would not know which calls may be repeated.
    ("grpc.enable_retries", 0),
    # A watcher notices that the service is gone.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


def open_channel(server: str, access: Access) -> grpc.Channel:
    """A channel for `Client`. Raises `ValueError`, see `Access.check`."""
    access.check(server)
    if access.secure:
        return grpc.secure_channel(server, access.credentials, options=OPTIONS)
    return grpc.insecure_channel(server, options=OPTIONS)


def open_async_channel(server: str, access: Access) -> grpc.aio.Channel:
    """The same for `AsyncClient`."""
    access.check(server)
    if access.secure:
        return grpc.aio.secure_channel(server, access.credentials, options=OPTIONS)
    return grpc.aio.insecure_channel(server, options=OPTIONS)


def serialized(message: Message) -> bytes:
    """For calls by path."""
    return message.SerializeToString()
