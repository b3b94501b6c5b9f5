"""Every failpoint: places at which a test makes the process die, fail or hang.

Each says what state a process that ends there leaves behind, and why that is safe. The page
`docs/failpoints.md` is made of this list (`make docs`).
"""

from __future__ import annotations

from typing import NamedTuple

from scheduling_srv.domain.errors import LogUnavailable, StoreUnavailable


class Point(NamedTuple):
    """A place in the code."""

    name: str
    fault: type[Exception]
    """What may really be raised there."""
    leaves: str
    """What is left behind, and why that is safe."""


_REDIS, _KAFKA = StoreUnavailable, LogUnavailable
_PRODUCER = BufferError
"""librdkafka's queue is full: one of the errors that the publisher's thread may meet."""

# --- Staging ------------------------------------------------------------------------------------

STAGE_CALL = Point(
    "stage.call", _REDIS, "Nothing has changed: what is due stays due, and the next call finds it."
)
STAGE_DONE = Point(
    "stage.done",
    _REDIS,
    "The runs are in the outbox and have left `due`, in one step: whoever publishes sends them,"
    " and nobody stages them again.",
)
PLAN_READ = Point(
    "plan.read",
    _REDIS,
    "Cron jobs that have run are still in `plan`: the next owner computes their times.",
)
PLAN_DONE = Point(
    "plan.done", _REDIS, "They are back in `due`: planning takes a job out of `plan` only once."
)
EXPIRE_CALL = Point(
    "expire.call", _REDIS, "The runs that are out of time still count as running: found again."
)
EXPIRE_DONE = Point(
    "expire.done",
    _REDIS,
    "They have failed and their retries wait, in one step; an answer that comes later has no run.",
)

# --- Publishing ---------------------------------------------------------------------------------

PUBLISH_TAKEN = Point(
    "publish.taken",
    _REDIS,
    "Redis knows how far Kafka may be (`taken`), Kafka knows nothing: recovery finds the old"
    " position and hands the same entries out again.",
)
PUBLISH_BEGUN = Point(
    "publish.begun", _PRODUCER, "An empty transaction: the next owner's producer aborts it."
)
PUBLISH_PRODUCED = Point(
    "publish.produced",
    _PRODUCER,
    "The records and their position are in an open transaction, which nobody reads: it is aborted"
    " by the next owner's producer, and the entries are sent again. A process that ends a moment"
    " later may have asked for the commit: then the position says whether it happened.",
)
PUBLISH_COMMITTED = Point(
    "publish.committed",
    _PRODUCER,
    "Kafka has the batch, nobody here knows: recovery reads the position, which is in the batch,"
    " and trims the outbox to it.",
)
PUBLISH_KNOWN = Point(
    "publish.known",
    _REDIS,
    "The position is known here and not yet in Redis: the next owner reads it from Kafka.",
)
PUBLISH_TRIMMED = Point(
    "publish.trimmed", _REDIS, "The outbox is empty and says so: nothing is left to be done."
)

REFUSE_FOUND = Point(
    "refuse.found",
    _REDIS,
    "What Kafka refuses is known here only, and its transaction is aborted: the next owner meets"
    " the same refusal and finds it again.",
)
REFUSE_SET_ASIDE = Point(
    "refuse.set_aside",
    _REDIS,
    "Other entries stand in the place of what Kafka refuses, and what it announced is undone, in"
    " one step: the next owner publishes them.",
)

# --- Sending at once (SCHEDULING_DELIVERY=at_least_once) ------------------------------------------

SEND_ANCHORED = Point(
    "send.anchored",
    _REDIS,
    "The position on Kafka names this owner's store, and nothing was sent yet: whoever recovers"
    " knows from it that runs may be ahead of their position.",
)
SEND_TAKEN = Point(
    "send.taken",
    _REDIS,
    "Redis knows how far runs may be on Kafka (`taken`), none is: they are handed out again.",
)
SEND_SENT = Point(
    "send.sent",
    _REDIS,
    "Kafka may have all of the batch's runs, some, or none, and has no position behind them: the"
    " next owner sends all again, with the same ids.",
)
SEND_DELIVERED = Point(
    "send.delivered",
    _REDIS,
    "Kafka has the runs and no position behind them: they are sent again, with the same ids.",
)
SEND_SETTLED = Point(
    "send.settled",
    _REDIS,
    "The runs, all else of their batches and the position are on Kafka, and Redis does not know:"
    " recovery trims the outbox to that position, and sends nothing again.",
)

# --- Listening ----------------------------------------------------------------------------------

LISTEN_POLLED = Point(
    "listen.polled",
    _KAFKA,
    "Nothing is applied, and Redis has the old position: the records are read again.",
)
LISTEN_APPLIED = Point(
    "listen.applied",
    _REDIS,
    "The records are applied and the position moved in one step: who reads them again is told"
    " that they are not the next ones.",
)
LISTEN_SHOW = Point(
    "listen.show",
    _REDIS,
    "The position that counts is stored, the one that is shown is old: it is shown the next time.",
)
LISTEN_SHOWN = Point(
    "listen.shown", _REDIS, "Only the group on Kafka knows less, and it decides nothing."
)
LISTEN_COMMITTED = Point(
    "listen.committed", _REDIS, "Store, show and group agree: nothing is left to be done."
)
LISTEN_ASSIGNED = Point(
    "listen.assigned",
    _REDIS,
    "Within the rebalance: the group gives the partitions to another member, which begins at the"
    " position in Redis.",
)
LISTEN_REVOKED = Point(
    "listen.revoked",
    _REDIS,
    "What was read and not applied is dropped: the next member reads it again.",
)
ANSWER_CALL = Point(
    "answer.call", _REDIS, "The run still counts as unanswered: the answer is read again."
)
ANSWER_DONE = Point(
    "answer.done",
    _REDIS,
    "The run has ended, its retry waits or its job is gone, and the position is behind the answer:"
    " all in one step, so it is not applied again.",
)
EVENT_CALL = Point(
    "event.call", _REDIS, "No job of the event is stored: it is read and applied again."
)
EVENT_DONE = Point(
    "event.done",
    _REDIS,
    "Jobs, announcements and position are stored in one step: the event is not applied again.",
)
BURY_CALL = Point(
    "bury.call", _REDIS, "The record that cannot be handled is read, and refused, again."
)
BURY_DONE = Point(
    "bury.done", _REDIS, "The dead letter is in the outbox, with the position: there is one."
)

# --- Calls --------------------------------------------------------------------------------------

WRITE_CALL = Point("write.call", _REDIS, "Nothing is stored, and the caller was told nothing.")
WRITE_DONE = Point(
    "write.done",
    _REDIS,
    "The jobs and their announcements are stored, the caller was told nothing: they run, once,"
    " and who asks again with the same ids gets ALREADY_EXISTS.",
)
WRITE_WAIT = Point(
    "write.wait",
    _REDIS,
    "The change is stored and will be announced by whoever owns the shard; the caller was told"
    " nothing.",
)
DELETE_CALL = Point("delete.call", _REDIS, "Nothing is deleted, and the caller was told nothing.")
DELETE_DONE = Point(
    "delete.done",
    _REDIS,
    "The jobs are gone, their announcements are stored; the caller was told nothing.",
)
CLEAR_CALL = Point("clear.call", _REDIS, "Nothing is void.")
CLEAR_DONE = Point(
    "clear.done",
    _REDIS,
    "All jobs up to a number are void and never staged again, though still there: whoever takes"
    " over, or clears again, sweeps them away.",
)
SWEEP_PIECE = Point(
    "sweep.piece",
    _REDIS,
    "Some void jobs are removed and announced, each once; the rest as above.",
)

# --- Owning -------------------------------------------------------------------------------------

LEASE_TAKEN = Point(
    "lease.taken",
    _REDIS,
    "The lease is held by nobody who works: it ends, or its holder is seen to be gone.",
)
LEASE_RENEWED = Point(
    "lease.renewed",
    _REDIS,
    "An owner that hangs here loses its lease while its loops work: each of their calls carries"
    " its epoch and is refused, and its transaction is fenced.",
)
LEASE_RELEASE = Point(
    "lease.release", _REDIS, "All is published, the lease is still held: it ends by itself."
)
LEASE_RELEASED = Point("lease.released", _REDIS, "Another replica may be the owner already.")
RECOVER_FENCED = Point(
    "recover.fenced",
    _KAFKA,
    "No earlier owner can commit any more, and nobody emits: the next one fences again.",
)
RECOVER_POSITION = Point(
    "recover.position", _KAFKA, "The position was only read: it is read again."
)
RECOVER_SETTLED = Point(
    "recover.settled",
    _REDIS,
    "What to go on from is decided and not yet used: Redis and Kafka are as they were.",
)
RECOVER_INITIALISED = Point(
    "recover.initialised",
    _REDIS,
    "A first start has made the shard ready: the next one finds it so.",
)
TOPICS_CALL = Point("topics.call", _KAFKA, "Topics are missing: the next start creates them.")
TOPICS_CREATED = Point("topics.created", _KAFKA, "The topics are there: the next start finds them.")

# --- Rebuilding ---------------------------------------------------------------------------------

REBUILD_BEGUN = Point(
    "rebuild.begun",
    _REDIS,
    "The shard is empty and not ready: nobody reads or writes it, the next owner rebuilds it.",
)
REBUILD_SETTLED = Point("rebuild.settled", _KAFKA, "As above: nothing was loaded.")
REBUILD_JOBS = Point(
    "rebuild.jobs", _REDIS, "Not ready: whoever rebuilds next drops what was loaded."
)
REBUILD_JOURNAL = Point(
    "rebuild.journal", _KAFKA, "Not ready: whoever rebuilds next drops what was loaded."
)
REBUILD_RUNS = Point(
    "rebuild.runs", _REDIS, "Not ready: whoever rebuilds next drops what was loaded."
)
REBUILD_INITIALISED = Point(
    "rebuild.initialised",
    _REDIS,
    "Ready, counting on from Kafka's position: the next owner finds an ordinary shard.",
)

# --- Restoring ----------------------------------------------------------------------------------

RESTORE_NOTED = Point(
    "restore.noted", _REDIS, "The command is in Redis: the owner carries it out, whoever it is."
)
RESTORE_BEGUN = Point("restore.begun", _REDIS, "The command is still noted: it is begun again.")
RESTORE_READ = Point("restore.read", _KAFKA, "Nothing is put back: it is begun again.")
RESTORE_PUT_BACK = Point(
    "restore.put_back",
    _REDIS,
    "Some jobs are back: restoring them again changes nothing.",
)
RESTORE_END = Point(
    "restore.end", _REDIS, "All jobs are back, the command is still noted: done again, as above."
)
RESTORE_ENDED = Point(
    "restore.ended", _REDIS, "The command is forgotten and its response is in the outbox, at once."
)

# --- Long lists --------------------------------------------------------------------------------

LIST_KEPT = Point(
    "list.kept",
    _REDIS,
    "Some pieces of a list are kept and nothing is decided: the owner drops them when the list's"
    " time is over, and the caller was not answered.",
)
LIST_DECIDE = Point("list.decide", _REDIS, "All pieces are kept, nothing is decided: as above.")
LIST_DECIDED = Point(
    "list.decided",
    _REDIS,
    "The list is decided, in Redis and in the outbox behind its pieces, together with the position"
    " of its record: the owner applies all of it.",
)
LIST_APPLIED = Point(
    "list.applied",
    _REDIS,
    "Some pieces are applied and forgotten, each in one step: the owner applies the others.",
)
LIST_DROPPED = Point(
    "list.dropped",
    _REDIS,
    "Some pieces of a refused list are forgotten: nobody can decide it any more, and the owner"
    " drops the others.",
)

POINTS = tuple(point for point in list(globals().values()) if isinstance(point, Point))
"""All of them, in order."""
