"""The client of scheduling.v1 for the command, and what its errors mean to a user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from scheduling_client.api import errors
from scheduling_client.api.access import Access
from scheduling_client.api.channels import open_channel
from scheduling_client.api.client import Client
from scheduling_client.cli.access import access_of
from scheduling_client.cli.calls import TIMED_OUT, UNIMPLEMENTED, UNREACHABLE, is_unreachable
from scheduling_client.cli.errors import CommandError, Exit
from scheduling_client.cli.options import Options

_EXITS: dict[type[errors.SchedulingError], Exit] = {
    errors.InvalidRequest: Exit.WRONG,
    errors.NotFound: Exit.NOT_FOUND,
    errors.AlreadyExists: Exit.CONFLICT,
    errors.Conflict: Exit.CONFLICT,
    errors.Unavailable: Exit.UNAVAILABLE,
    errors.TimedOut: Exit.UNAVAILABLE,
}


@contextmanager
def client(options: Options) -> Iterator[Client]:
    """Connect to the service that the options name. Inside, errors become `CommandError`."""
    access = access_of(options)
    with Client(options.server, timeout=options.timeout_seconds, access=access) as connected:
        try:
            yield connected
        except errors.SchedulingError as error:
            raise _told(error, options) from None


@contextmanager
def channel(options: Options) -> Iterator[tuple[grpc.Channel, Access]]:
    """A channel to that service, and how to show who calls. Errors are those of `client`."""
    access = access_of(options)
    with open_channel(options.server, access) as connected:
        try:
            yield connected, access
        except errors.SchedulingError as error:
            raise _told(error, options) from None


def _told(error: errors.SchedulingError, options: Options) -> CommandError:
    code = _EXITS.get(type(error), Exit.FAILED)
    if isinstance(error, errors.TimedOut):
        sentence = TIMED_OUT
    elif isinstance(error, errors.Unsupported) and not error.reason:
        sentence = UNIMPLEMENTED
    elif isinstance(error, errors.Unavailable) and is_unreachable(str(error)):
        sentence = UNREACHABLE
    else:
        return CommandError(str(error), code)
    return CommandError(
        sentence.format(server=options.server, timeout=options.timeout_seconds), code
    )
