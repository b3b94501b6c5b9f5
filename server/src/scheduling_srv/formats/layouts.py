"""The table of byte layouts: each stands here once, for Python and for Lua.

A layout names its fields in order. `Layout.struct` is its form for Python's `struct`,
`Layout.lua` that for Redis's `struct`. The scripts get the values of `LUA` by their names: see
`adapters/redis/lua_source.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from scheduling_srv.domain.intervals import Farewell
from scheduling_srv.domain.job import TriggerKind
from scheduling_srv.domain.run import PassedBy
from scheduling_srv.formats.versions import FORMATS, READS, WRITES


class Form(NamedTuple):
    """A type of field, as Python's and as Redis's `struct` write it."""

    python: str
    lua: str


FORMS = {
    "letter": Form("x", "c1"),  # Python looks at it before it reads the rest
    "char": Form("c", "c1"),
    "u8": Form("B", "B"),
    "u16": Form("H", "I2"),
    "u32": Form("I", "I4"),
    "u48": Form("6x", "I6"),  # Python's `struct` has no number of six bytes
    "u64": Form("Q", "I8"),
    "f64": Form("d", "d"),
}


class Layout:
    """Fixed-size fields in a row, without padding."""

    def __init__(self, fields: str, order: str = "<") -> None:
        """`fields` holds `name:type` for each; `order` is that of the bytes."""
        self.kinds = dict(text.split(":") for text in fields.split())
        forms = [FORMS[kind] for kind in self.kinds.values()]
        self.order = order
        self.struct = struct.Struct(order + "".join(form.python for form in forms))
        self.lua = order + "".join(form.lua for form in forms)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.struct.size

    def before(self, field: str) -> int:
        """Bytes before a field."""
        names = list(self.kinds)
        return self.part(*names[: names.index(field)]).size

    def part(self, *fields: str) -> Layout:
        """Some of the fields, which stand beside each other."""
        return Layout(" ".join(f"{name}:{self.kinds[name]}" for name in fields), self.order)


# --- The record of a job ------------------------------------------------------------------------

HEADER = Layout("seq:u48 kind:u8 rank:u8 type_size:u16 data_size:u32 trace_size:u16 creator_at:u32")
"""Creation time, policy, MORE, type, data, rest and trace follow: see `job_record`.

Python reads `seq` by itself."""
SEQ = HEADER.part("seq")
DUE_HEADER = HEADER.part("seq", "kind", "rank", "type_size", "data_size", "trace_size")
"""The part that staging reads."""
SMALL_HEADER = Layout(
    "seq:u48 kind:u8 rank:u8 type_size:u8 data_size:u16 trace_size:u8 creator_at:u16"
)
"""The same in records of `VERSION_OF_SMALL`, which most are: without MORE, and with small parts.

With the creation time it takes as many bytes as HEADER without it."""
SMALL_DUE_HEADER = SMALL_HEADER.part("seq", "kind", "rank", "type_size", "data_size", "trace_size")
SMALL_TYPE, SMALL_DATA, SMALL_TRACE = 0xFF, 0x7FFF, 0xFF
"""The most bytes that such a record may have of each; so its creator lies in reach."""
POLICY = Layout("attempts:u32 backoff:u8 delay:f64 parallel:u32 interval:u64")
ATTEMPTS = POLICY.part("attempts")
LIMITS = POLICY.part("parallel", "interval")
"""The part that staging reads."""
BIRTH = Layout("created:u48")
"""When the job was created, in epoch ms. In records of `VERSION_OF_MORE` and later."""
MORE = Layout("size:u32 revision:u32 updated:u48 flags:u8 labels_size:u16 key_size:u8")
"""What the messages of 2018 cannot say (docs/decisions/0030); `size` counts these bytes as well.

RULES, labels, unique key and spec follow: see `more`."""
FLAGS = MORE.part("flags", "labels_size", "key_size")
"""With what follows, the definition in MORE."""
RULES = Layout(
    "overlap:u8 missed:u8 window:u64 jitter:u64 start_deadline:u64 timeout:u64 max_runs:u32"
    " end:u64 max_delay:u64 share:f64"
)
"""The properties that staging and answers obey. 0 is the default of each."""
HAS_RULES = 1
"""The flag of a MORE with RULES."""
MISSED_LATEST, MISSED_SKIP, MISSED_UNLIMITED = 1, 2, 4
"""Of `missed`: one of the first two, and the third for a window without a limit."""
ONE = 2
"""Of `overlap`: the first run that comes due meanwhile waits; see `Overlap`."""
HAS_POLICY = 0x80
"""Added to the kind of a record that has a policy after its header."""
HAS_MORE = 0x08
"""Added to the kind of a record with MORE. Kinds are below it."""
VERSION_UNIT = 0x10
"""The version of a record, times this, is added to its kind as well."""
VERSION_OF_MORE, VERSION_OF_SMALL = 2, 3
VERSION_UNKNOWN = (FORMATS[READS].job + 1) * VERSION_UNIT
"""A kind without `HAS_POLICY` that is as large, or larger, is of a later version."""
ELAPSED, RELATIVE, UPDATED, KEEP_MORE, NEW_PHASE = 1, 2, 4, 8, 16
"""Bits of the first byte of a record that has no `seq` yet: see `job_record.Note`."""

# --- Entries of the outbox ----------------------------------------------------------------------

QUEUE, CREATE, NEW_NOW, DELETE, TOMBSTONE, PUT_OFF, HAND_ON, LISTED = b"QCNDXRPL"
HAPPENED, MARK, GROUP, QUEUE_MORE, COUNT, PAUSE, NOTE_REPLAYED, FILLING = b"EMGqKUYB"
"""First bytes of entries."""
QUEUES = frozenset((QUEUE, QUEUE_MORE))
"""Those of runs."""
QUEUED = Layout(
    "letter:letter kind:u8 instance:u32 nominal:u64 attempt:u32 seq:u64"
    " id_size:u16 trace_size:u16 type_size:u16 data_size:u32"
)
"""Id, type, data and trace follow. With the letter `QUEUE_MORE`, QUEUED_MORE and the labels too."""
QUEUED_MORE = Layout("origin:u8 attempts:u32 timeout:u64 number:u32 labels_size:u16")
"""Of a run of a job with MORE, or of another origin than the schedule. `timeout`: ms, as its job
says; 0: the setting's. `number`: the how manieth run of a job with `max_runs`, else 0."""
CREATED = Layout("letter:letter due:u64 id_size:u16")
"""Id and record follow."""
KEYED = Layout("letter:letter key_size:u16")
"""Key and value follow."""
EVENT = Layout("letter:letter topic:char key_size:u16 headers_size:u32")
"""Key, headers as JSON and value follow."""
GROUPED = Layout("letter:letter size:u32")
"""The head of a group: how many entries follow. Sections come after it."""
COMMANDS, DEAD_LETTER, RESOURCES, JOBS_TOPIC, EVENTS = b"cdrje"
"""Letters of the topics of events. The last two come with format 2."""

# --- Sections of the head of a group ------------------------------------------------------------

SECTION = Layout("letter:char size:u32")
LIST, REPEATED, OLD_JOB, OLD_RETRY, OLD_STATE, OLD_PAUSE, OLD_TALLY, OLD_BACKFILL = b"LJOTSPYB"
"""Letters of sections."""
LIST_PART = Layout("first:u32 count:u32 offset:u64")
"""First entry, from 1; number of entries; offset of the record. Its partition follows."""
OLD_JOB_PART = Layout("place:char kind:u8 score:u64 id_size:u16")
"""Where a replaced job stood; its id and record follow."""
OLD_RETRY_PART = Layout("score:u64")
"""Of a waiting retry of a replaced job; its member follows. 0: it was at rest."""
OLD_STATE_PART = Layout("size:u16")
"""Of a replaced job with a STATE; its id and the STATE follow. The other sections are alike."""

# --- Values of the journal ----------------------------------------------------------------------

JOURNAL_JOB = Layout("due:u64")
"""The record follows."""
JOURNAL_COUNT = Layout("seq:u64 nominal:u64 counted:u32")
"""The run of this nominal time is the `counted`-th of its job."""
JOURNAL_RETRY = Layout("seq:u64 nominal:u64 attempt:u32 due:u64")
PIECE_JOB = Layout("id_size:u16 due:u64 record_size:u32")
"""Of a piece of a long list; id and record follow."""
PARCEL_BASE = Layout("base:u64")
"""The creation number before the list that a parcel is of; the change follows."""
PARCEL_TABLE = Layout("size:u32")
"""Bytes of the table at the beginning of a change."""
PARCEL_KEY, LIST_KEY = "\0parcel\0", "\0list\0"
"""How keys of the journal begin that are of no job; a name, or a token and a number, follows."""
COUNT_KEY = "\0count"
"""Follows the id of a job, in the key of its count."""
PAUSE_KEY, TYPE_PAUSE_KEY = "\0pause", "\0pause\0"
"""The first follows the id of a job, the second precedes a type, in the key of a pause."""
REPLAYED_KEY = "\0replayed\0"
"""Precedes `partition:offset topic id` of a dead letter."""

BACKFILL_KEY = "\0backfill"
"""Follows the id of a job, in the key of its backfill."""

# --- Values that only scripts read --------------------------------------------------------------

RUN = Layout("seq:u48 version:u8 origin:u8 nominal:u64 attempt:u32 entry:u64 type_size:u16")
"""An unanswered run; type and id follow. Before version 2 there was one origin, the schedule."""
RUN_OF_SCHEDULE, RUN_NEWEST = FORMATS[1].run, FORMATS[READS].run
SCHEDULE, BY_HAND, BACKFILLED = range(3)
"""Origins of runs."""
ORIGIN_UNIT = 1 << 28
"""The origin of a run that waits, times this, is added to its attempt."""
ORIGIN_MARKS = ("", "m", "b")
"""Follow the nominal time in the id of a run, by its origin."""
MEMBER = Layout("seq:u48 kind:u8", order=">")
"""A place in `due`, `plan` or the held runs; the id follows. Big-endian: equal scores keep the
order of creation."""
RUN_MEMBER = Layout("seq:u48 kind:u8 nominal:u48 attempt:u32", order=">")
"""The same for one run."""
NEXT, RETRY, MISSED, KEPT, MANUAL, BACKFILL, PASSED = range(7)
"""Kinds of members."""
ORPHAN = Layout("parallel:u32")
"""Of a job that is gone and has left retries; its type follows."""
STATE = Layout("seq:u48 nominal:u48 last:u48 counted:u32")
"""Of a job with jitter or `max_runs`: nominal time of its next occurrence and of the last run that
counted, and how many have."""
RAN = Layout(
    "version:u8 seq:u64 nominal:u64 started:u64 ended:u64 instance:u32 attempts:u32 most:u32"
    " origin:u8 outcome:u8 type_size:u16 error_size:u16"
)
"""A run of the history, or as a list shows it; type, error and job id follow. 0: none, or unknown.
`attempts` were emitted, of `most`."""
RAN_VERSION = 1
"""Of RAN and TALLIED. History of a later version is not read."""
RAN_DONE, RAN_FAILED, RAN_TIMED_OUT, RAN_CANCELLED, RAN_SKIPPED, RAN_MISSED, RAN_REFUSED = range(
    1, 8
)
"""Outcomes of runs, as scheduling.v1 numbers them."""
TALLIED = Layout(
    "version:u8 done:u48 failed:u48 timed_out:u48 cancelled:u48 skipped:u48 missed:u48 refused:u48"
    " newest:u8"
)
"""Of a recurring job: its runs by outcome, and the outcome of the newest one of its history, whose
serials follow."""
SERIAL = Layout("serial:u48")
"""The number of a run in the history of its shard."""
MINUTE = Layout("minute:u48 emitted:u48 done:u48 failed:u48 skipped:u48 lateness:u48 latest:u48")
"""The counts of a minute since 1970; the sum and the greatest of the emitted runs' lateness, ms."""
FAILED_WITH = Layout("count:u48 last:u48 seq:u48 nominal:u48 origin:u8 error_size:u16")
"""Runs of a type that failed with one error, and the last one of them; error and job id follow."""
TOLD = Layout("at:u48 withheld:u48")
"""When an event last told of occurrences of a job that passed, and how many have passed since."""
OUTAGE = Layout("since:u48 until:u48")
"""A time in which no owner looked for what is due."""
OWNED = Layout("since:u48")
"""The token of an owner follows."""
PAUSED_UNTIL = Layout("until:u48 of_type:u8 name_size:u16")
"""Of a pause that has ended. Job id, or type, and note follow."""
FAREWELL = Layout("at:u48 seq:u48 why:u8")
"""Of a job that is gone, whose id follows."""
TAG = Layout("hash:u16", order=">")
"""Of a creator."""


def _text(value: str | bytes) -> str:
    """A Lua string of ASCII."""
    text = value if isinstance(value, str) else value.decode()
    return (
        '"'
        + "".join(c if c.isprintable() and c not in '"\\' else f"\\{ord(c)}" for c in text)
        + '"'
    )


def _layouts() -> dict[str, str]:
    layouts = {name: value for name, value in globals().items() if isinstance(value, Layout)}
    forms = {name: _text(layout.lua) for name, layout in layouts.items()}
    sizes = {f"{name}_SIZE": str(layout.size) for name, layout in layouts.items()}
    return {**forms, **sizes}


_LETTERS = """
    QUEUE CREATE NEW_NOW DELETE TOMBSTONE PUT_OFF HAND_ON LISTED HAPPENED MARK GROUP
    QUEUE_MORE COUNT PAUSE NOTE_REPLAYED FILLING RESOURCES JOBS_TOPIC EVENTS LIST REPEATED
    OLD_JOB OLD_RETRY OLD_STATE OLD_PAUSE OLD_TALLY OLD_BACKFILL
""".split()
_NUMBERS = """
    HAS_POLICY HAS_MORE HAS_RULES VERSION_UNIT VERSION_OF_MORE VERSION_OF_SMALL VERSION_UNKNOWN
    ONE MISSED_LATEST MISSED_SKIP MISSED_UNLIMITED RUN_OF_SCHEDULE RUN_NEWEST
    ELAPSED RELATIVE UPDATED KEEP_MORE NEW_PHASE NEXT RETRY MISSED KEPT MANUAL BACKFILL PASSED
    SCHEDULE BY_HAND BACKFILLED ORIGIN_UNIT RAN_VERSION
    RAN_DONE RAN_FAILED RAN_TIMED_OUT RAN_CANCELLED RAN_SKIPPED RAN_MISSED RAN_REFUSED
""".split()

LUA: Mapping[str, str] = {
    **_layouts(),
    **{name: _text(bytes((globals()[name],))) for name in _LETTERS},
    **{name: str(globals()[name]) for name in _NUMBERS},
    **{kind.name: str(kind.value) for kind in TriggerKind},
    **{f"WHY_{why.name}": _text(why.value) for why in PassedBy},
    **{f"GONE_{why.name}": str(why.value) for why in Farewell},
    "FORMAT_WRITTEN": str(WRITES),
    "FORMAT_NEWEST": str(READS),
    "GROUP_BYTE": str(GROUP),
    "LIMITS_AT": str(POLICY.before("parallel") + 1),
    "PARCEL_KEY": _text(PARCEL_KEY),
    "LIST_KEY": _text(LIST_KEY),
    "COUNT_KEY": _text(COUNT_KEY),
    "PAUSE_KEY": _text(PAUSE_KEY),
    "BACKFILL_KEY": _text(BACKFILL_KEY),
    "TYPE_PAUSE_KEY": _text(TYPE_PAUSE_KEY),
    "REPLAYED_KEY": _text(REPLAYED_KEY),
}
"""Name -> its value in Lua. Offsets count from 1, as Lua does."""
