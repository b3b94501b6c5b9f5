"""Loads the Lua scripts and runs them: one call, one atomic change of state.

The typed functions beside each script are in the other modules of this package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any

from redis.exceptions import NoScriptError

from scheduling_srv.adapters.redis import keys
from scheduling_srv.adapters.redis.client import RedisClient, Value
from scheduling_srv.adapters.redis.lua_source import assemble, in_order
from scheduling_srv.adapters.redis.refusals import CallAgain

WHEN_FULL = frozenset(
    "acquire append backfills behind cancel claim clear commit compared complete counts delete"
    " delivered due_list expire extend failures find_keys find_runs forget_inputs format"
    " get hide holder index_older initialise intervals job_runs letters list list_apply list_decide"
    " list_drop list_keep list_named list_runs lists mark_inputs note_log overview page"
    " parcels pause paused_types positions progress raise recall renew restore_end resume"
    " set_aside set_positions show state sweep sweep_now sweep_retries take trim_history"
    " unclaim unplanned unready upcoming".split()
)
"""Scripts that run although Redis is at its `maxmemory`: they read, make room, or take next to
none, and what makes room would stop without them. Others are refused then, before they have changed
anything.
"""


@cache
def source(name: str, shards: int = 1) -> str:
    """The whole text of a script, as it is sent, for a namespace of so many shards.

    Its first line says that it may write, also where it only reads: so a replica refuses it, and
    nothing old is believed.
    """
    head = "#!lua flags=allow-oom\n" if name in WHEN_FULL else "#!lua\n"
    return head + assemble(name, shards)


@cache
def digest(name: str, shards: int = 1) -> str:
    """The SHA-1 by which Redis knows the script."""
    return hashlib.sha1(source(name, shards).encode(), usedforsecurity=False).hexdigest()


class Scripts:
    """The scripts of one shard."""

    def __init__(self, client: RedisClient, namespace: str, shard: int, shards: int = 1) -> None:
        """`shards` is how many there are."""
        self.client = client
        self.keys = keys.fixed(namespace, shard)
        self.shards = shards

    async def run(self, name: str, rest: Sequence[Value] = (), /, **named: Value) -> Any:  # noqa: ANN401
        """Run a script with its `named` arguments; `rest` follows them.

        A script that stops after a piece of its work is called again until it is done: each call
        is short, and others come between. Raises `StoreUnavailable`.
        """
        args = [*in_order(name, named), *rest]
        while True:
            try:
                return await self._run_once(name, args)
            except CallAgain:
                continue

    async def _run_once(self, name: str, args: Sequence[Value]) -> Any:  # noqa: ANN401
        try:
            return await self._execute("EVALSHA", digest(name, self.shards), args)
        except NoScriptError:
            # A restarted or failed-over server has not seen it yet.
            return await self._execute("EVAL", source(name, self.shards), args)

    async def _execute(self, command: str, script: str, args: Sequence[Value]) -> Any:  # noqa: ANN401
        return await self.client.execute(command, script, len(self.keys), *self.keys, *args)
