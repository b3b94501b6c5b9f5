"""Functions that do the runs of jobs, and are answered for. It needs the extra `worker`.

`Worker` has the decorators, `Run` is what a function may ask for, `Retry` and `Discard` say how a
run has failed. `MemoryStore`, `SQLiteStore` and `RedisStore` keep the runs that have ended.
"""

from scheduling_client.worker.answers import Ended
from scheduling_client.worker.errors import AlreadyDone, Discard, Retry, WorkerError
from scheduling_client.worker.runs import Data, Item, Run
from scheduling_client.worker.stores import MemoryStore, RedisStore, SQLiteStore, Store
from scheduling_client.worker.transactions import create_table_sql
from scheduling_client.worker.worker import Worker

__all__ = [
    "AlreadyDone",
    "Data",
    "Discard",
    "Ended",
    "Item",
    "MemoryStore",
    "RedisStore",
    "Retry",
    "Run",
    "SQLiteStore",
    "Store",
    "Worker",
    "WorkerError",
    "create_table_sql",
]
