"""The keys of records on the two topics that the service consumes (docs/contract.md)."""

from __future__ import annotations

from scheduling_srv.app.commands.commands import COMMAND_EVENTS
from scheduling_srv.app.ports import WriteMode
from scheduling_srv.formats.kafka_records import SETTLED_KEY

DONE, FAILED, HEARTBEAT = b"jobDone", b"jobFailed", b"jobHeartbeat"
CREATE, MODIFY, DELETE = b"createJobs", b"modifyJobs", b"deleteJobs"
MODES = {CREATE: WriteMode.CREATE, MODIFY: WriteMode.UPDATE}
"""How the jobs of a list are written."""
ANSWERS = frozenset({DONE, FAILED, HEARTBEAT})
COMMANDS = {key.encode(): key for key in COMMAND_EVENTS}
"""Keys of commands, as bytes and as text."""
KEYS = frozenset({*ANSWERS, *MODES, DELETE, *COMMANDS})
"""Of the records that anything is done about."""
ANNOUNCEMENTS = frozenset(
    {
        b"queuedJob",
        b"jobsCreated",
        b"jobsDeleted",
        SETTLED_KEY,
        *(response.encode() for response in COMMAND_EVENTS.values()),
    }
)
"""Keys of the records that the service itself writes to the topics that it reads."""
KNOWN = KEYS | ANNOUNCEMENTS
"""All others are the keys of unknown events."""
