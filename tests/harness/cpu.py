"""How much CPU time something needs: a bound that holds on a busy machine as well."""

import time
from collections.abc import Callable

TRIES = 5


def cpu_seconds(act: Callable[[], object]) -> float:
    """The least CPU seconds of some tries: a collection of garbage may hit one of them."""
    return min(_once(act) for _ in range(TRIES))


def _once(act: Callable[[], object]) -> float:
    begin = time.process_time()
    act()
    return time.process_time() - begin
