"""Every failpoint: a point at which a test makes the process die, fail or hang.

Each one describes the state that a process leaves if it ends there, and why that state is safe.
`make docs` writes `docs/failpoints.md` from this list.
"""

from __future__ import annotations

from typing import NamedTuple

from scheduling_srv.domain.errors import LogUnavailable, StoreUnavailable


class Point(NamedTuple):
    """A named point in the code."""

    name: str
    fault: type[Exception]
    """An error that this step may really raise."""
    leaves: str
    """The state that a crash here leaves, and why it is safe: sentences for the page."""


_REDIS, _KAFKA = StoreUnavailable, LogUnavailable
_PRODUCER = BufferError
"""librdkafka's queue is full: one of the errors that the publisher's thread may raise."""

# --- Staging ------------------------------------------------------------------------------------

STAGE_CALL = Point(
    "stage.call", _REDIS, "Nothing has changed: due runs stay due, and the next call finds them."
)
STAGE_DONE = Point(
    "stage.done",
    _REDIS,
    "One step has moved the runs from `due` to the outbox. The next owner publishes them, each at"
    " its time, and does not stage them again.",
)
PLAN_READ = Point(
    "plan.read",
    _REDIS,
    "Cron jobs that have run are still in `plan`: the next owner computes their next times.",
)
PLAN_DONE = Point(
    "plan.done", _REDIS, "They are back in `due`: planning removes a job from `plan` only once."
)
EXPIRE_CALL = Point(
    "expire.call",
    _REDIS,
    "The expired runs still count as running: the next owner finds them again.",
)
EXPIRE_DONE = Point(
    "expire.done",
    _REDIS,
    "In one step they have failed and their retries wait. A later answer finds no run.",
)

# --- Publishing ---------------------------------------------------------------------------------

PUBLISH_TAKEN = Point(
    "publish.taken",
    _REDIS,
    "Redis has noted how far Kafka may be (`taken`), and Kafka has nothing new. Recovery finds the"
    " old position and publishes the same entries.",
)
PUBLISH_BEGUN = Point(
    "publish.begun", _PRODUCER, "An empty transaction: the next owner's producer aborts it."
)
PUBLISH_PRODUCED = Point(
    "publish.produced",
    _PRODUCER,
    "The records and their position are in an open transaction, which consumers do not see. The"
    " next owner's producer aborts it, and the next owner sends the entries again. A process that"
    " ends a moment later may have asked for the commit. The position then tells whether it"
    " happened.",
)
PUBLISH_COMMITTED = Point(
    "publish.committed",
    _PRODUCER,
    "Kafka has the batch, and the service does not know it yet. Recovery reads the position, which"
    " is in the batch, and trims the outbox to it.",
)
PUBLISH_KNOWN = Point(
    "publish.known",
    _REDIS,
    "The owner knows the position, but Redis does not: the next owner reads it from Kafka.",
)
PUBLISH_TRIMMED = Point(
    "publish.trimmed", _REDIS, "The outbox is empty and trimmed: no work is left."
)

REFUSE_FOUND = Point(
    "refuse.found",
    _REDIS,
    "Only this process knows which record Kafka refuses, and its transaction is aborted. The next"
    " owner meets the same refusal and finds the record again.",
)
REFUSE_SET_ASIDE = Point(
    "refuse.set_aside",
    _REDIS,
    "In one step other entries have replaced the refused one, and the announced change is undone."
    " The next owner publishes the new entries.",
)

# --- Sending at once (SCHEDULING_DELIVERY=at_least_once) ------------------------------------------

SEND_ANCHORED = Point(
    "send.anchored",
    _REDIS,
    "The position on Kafka names this owner's store, and no run was sent yet. It tells the next"
    " owner that runs may be ahead of their position.",
)
SEND_TAKEN = Point(
    "send.taken",
    _REDIS,
    "Redis has noted how far runs may be on Kafka (`taken`), and none is there. The next owner"
    " sends them.",
)
SEND_SENT = Point(
    "send.sent",
    _REDIS,
    "Kafka may have all of the batch's runs, some, or none, and no position after them. The next"
    " owner looks which of them are on the topic, and sends the others with the same ids.",
)
SEND_DELIVERED = Point(
    "send.delivered",
    _REDIS,
    "Kafka has the runs, and no position after them. The next owner finds them on the topic, and"
    " does not send them again.",
)
SEND_SETTLED = Point(
    "send.settled",
    _REDIS,
    "The runs, all other records of their batches and the position are on Kafka, and Redis does not"
    " know it. Recovery trims the outbox to that position, and sends no run again.",
)

# --- Listening ----------------------------------------------------------------------------------

LISTEN_POLLED = Point(
    "listen.polled",
    _KAFKA,
    "No record is applied, and Redis has the old position: the records are read again.",
)
LISTEN_APPLIED = Point(
    "listen.applied",
    _REDIS,
    "One step has applied the records and moved the position. The store refuses them if a replica"
    " reads them again.",
)
LISTEN_SHOW = Point(
    "listen.show",
    _REDIS,
    "The stored position is new, the shown one is old. The next round shows the new one.",
)
LISTEN_SHOWN = Point(
    "listen.shown",
    _REDIS,
    "Only the offset of the consumer group on Kafka is old, and nothing depends on it.",
)
LISTEN_COMMITTED = Point(
    "listen.committed",
    _REDIS,
    "The stored position, the shown one and that of the group agree: the round is done.",
)
LISTEN_ASSIGNED = Point(
    "listen.assigned",
    _REDIS,
    "Within a rebalance: the group gives the partitions to another member, which begins at the"
    " position in Redis.",
)
LISTEN_REVOKED = Point(
    "listen.revoked",
    _REDIS,
    "Records that were read and not applied are dropped: the next member reads them again.",
)
ANSWER_CALL = Point(
    "answer.call", _REDIS, "The run still counts as unanswered: the answer is read again."
)
ANSWER_DONE = Point(
    "answer.done",
    _REDIS,
    "One step has ended the run, stored its retry or removed its job, and moved the position past"
    " the answer. So the answer is not applied again.",
)
EVENT_CALL = Point(
    "event.call", _REDIS, "No job of the event is stored: the event is read and applied again."
)
EVENT_DONE = Point(
    "event.done",
    _REDIS,
    "One step has stored jobs, announcements and position: the event is not applied again.",
)
BURY_CALL = Point(
    "bury.call", _REDIS, "The record that cannot be applied is read again, and refused again."
)
BURY_DONE = Point(
    "bury.done",
    _REDIS,
    "One step has put the dead letter into the outbox and moved the position: there is one.",
)

# --- Calls --------------------------------------------------------------------------------------

WRITE_CALL = Point("write.call", _REDIS, "Nothing is stored, and the caller has no answer.")
WRITE_DONE = Point(
    "write.done",
    _REDIS,
    "The jobs and their announcements are stored, and the caller has no answer. The jobs run once."
    " A second call with the same ids gets ALREADY_EXISTS.",
)
WRITE_WAIT = Point(
    "write.wait",
    _REDIS,
    "The change is stored, and the caller has no answer. The owner of the shard announces it.",
)
DELETE_CALL = Point("delete.call", _REDIS, "Nothing is deleted, and the caller has no answer.")
DELETE_DONE = Point(
    "delete.done",
    _REDIS,
    "The jobs are gone, their announcements are stored, and the caller has no answer.",
)
CLEAR_CALL = Point("clear.call", _REDIS, "No job is void.")
CLEAR_DONE = Point(
    "clear.done",
    _REDIS,
    "All jobs up to a number are void: still stored, but never staged. The next owner removes them,"
    " as does the next Delete of everything.",
)
SWEEP_PIECE = Point(
    "sweep.piece",
    _REDIS,
    "Some void jobs are removed and announced, each once. The others are as above.",
)

# --- Owning -------------------------------------------------------------------------------------

LEASE_TAKEN = Point(
    "lease.taken",
    _REDIS,
    "A dead process holds the lease: it ends, or a replica notices that its holder is gone.",
)
LEASE_RENEWED = Point(
    "lease.renewed",
    _REDIS,
    "An owner that hangs here loses its lease while its loops work. Redis refuses their calls, as"
    " each one carries its epoch, and Kafka fences its transaction.",
)
LEASE_RELEASE = Point(
    "lease.release",
    _REDIS,
    "All entries are published, the lease is still held: it ends by itself.",
)
LEASE_RELEASED = Point("lease.released", _REDIS, "Another replica may be the owner already.")
RECOVER_FENCED = Point(
    "recover.fenced",
    _KAFKA,
    "No earlier owner can commit any more, and no replica emits: the next owner fences again.",
)
RECOVER_POSITION = Point(
    "recover.position", _KAFKA, "The position was only read: it is read again."
)
RECOVER_SETTLED = Point(
    "recover.settled",
    _REDIS,
    "The starting point is decided and not used yet: Redis and Kafka are unchanged.",
)
RECOVER_INITIALISED = Point(
    "recover.initialised",
    _REDIS,
    "A first start has made the shard ready: the next owner finds it ready.",
)
TOPICS_CALL = Point("topics.call", _KAFKA, "Topics are missing: the next start creates them.")
TOPICS_CREATED = Point("topics.created", _KAFKA, "The topics are there: the next start finds them.")

# --- Rebuilding ---------------------------------------------------------------------------------

REBUILD_BEGUN = Point(
    "rebuild.begun",
    _REDIS,
    "The shard is empty and not ready: calls are refused, and the next owner rebuilds it.",
)
REBUILD_SETTLED = Point("rebuild.settled", _KAFKA, "As above: nothing is loaded yet.")
REBUILD_JOBS = Point(
    "rebuild.jobs", _REDIS, "Not ready: the next rebuild drops the jobs loaded so far."
)
REBUILD_JOURNAL = Point(
    "rebuild.journal", _KAFKA, "Not ready: the next rebuild drops the jobs loaded so far."
)
REBUILD_RUNS = Point(
    "rebuild.runs", _REDIS, "Not ready: the next rebuild drops the jobs and runs loaded so far."
)
REBUILD_INITIALISED = Point(
    "rebuild.initialised",
    _REDIS,
    "Ready. The outbox continues from Kafka's position: the next owner finds an ordinary shard.",
)

# --- Restoring ----------------------------------------------------------------------------------

RESTORE_NOTED = Point(
    "restore.noted", _REDIS, "The command is in Redis: the owner of the shard carries it out."
)
RESTORE_BEGUN = Point("restore.begun", _REDIS, "The command is still noted: it begins again.")
RESTORE_READ = Point("restore.read", _KAFKA, "No job is put back: the restore begins again.")
RESTORE_PUT_BACK = Point(
    "restore.put_back",
    _REDIS,
    "Some jobs are back: restoring them again changes nothing.",
)
RESTORE_END = Point(
    "restore.end",
    _REDIS,
    "All jobs are back, and the command is still noted: the restore begins again, as above.",
)
RESTORE_ENDED = Point(
    "restore.ended",
    _REDIS,
    "One step has removed the command and put its response into the outbox.",
)

# --- Long lists --------------------------------------------------------------------------------

LIST_KEPT = Point(
    "list.kept",
    _REDIS,
    "Some pieces of a list are stored and the list is not decided. The caller has no answer. The"
    " owner drops the pieces when the list expires.",
)
LIST_DECIDE = Point(
    "list.decide", _REDIS, "All pieces are stored, the list is not decided: as above."
)
LIST_DECIDED = Point(
    "list.decided",
    _REDIS,
    "One step has decided the list, in Redis and in the outbox after its pieces, and moved the"
    " position past its record. The owner applies all of the list.",
)
LIST_APPLIED = Point(
    "list.applied",
    _REDIS,
    "Some pieces are applied and removed, each in one step: the owner applies the others.",
)
LIST_DROPPED = Point(
    "list.dropped",
    _REDIS,
    "Some pieces of a refused list are removed. The list cannot be decided any more, and the owner"
    " drops the other pieces.",
)

POINTS = tuple(point for point in list(globals().values()) if isinstance(point, Point))
"""All points, in order."""
