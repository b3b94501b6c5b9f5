"""What both kinds of channel share."""

from __future__ import annotations

from google.protobuf.message import Message

DEFAULT_SERVER = "127.0.0.1:50054"
DEFAULT_TIMEOUT_SECONDS = 20.0
LARGEST_ANSWER_BYTES = 40 << 20
"""The service answers with no more (docs/contract.md)."""
OPTIONS = [
    ("grpc.max_receive_message_length", LARGEST_ANSWER_BYTES),
    # gRPC's own retries would not know which calls may be repeated.
    ("grpc.enable_retries", 0),
]


def serialized(message: Message) -> bytes:
    """For calls by path."""
    return message.SerializeToString()
