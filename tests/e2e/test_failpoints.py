"""Every failpoint is reached, by death, error, unexpected error, pause and stop, and all is well.

Lanes of replicas run side by side on one Kafka and one Valkey; each tries its cells one after the
other under load, lets the product recover by itself, and is judged at its end by the checker.
"""

import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from scheduling_srv.runtime.points import POINTS
from tests.e2e.cells import (
    ACTIONS,
    AT_LEAST_ONCE,
    CELLS,
    EXPIRY,
    FIRST_START,
    Cell,
    try_cell,
    try_first_start,
)
from tests.e2e.lane import Lane
from tests.e2e.verdict import violations
from tests.harness.fork_server import ForkServer, shared
from tests.harness.kafka import KafkaServer
from tests.harness.valkey import ValkeyServer

pytestmark = pytest.mark.slow

SIDE_BY_SIDE = 6
LANES_OF_AN_ACTION = 2
COMPLETION, HOUR = 1_500, 3_600_000
"""Completion timeouts, in milliseconds."""


@dataclass
class Plan:
    """A lane before it runs."""

    name: str
    cells: list[Cell]
    replicas: int = 2
    settings: dict[str, str] = field(default_factory=dict)


@dataclass
class Result:
    """What came of a lane."""

    problems: list[str] = field(default_factory=list)
    reached: list[Cell] = field(default_factory=list)


def plans() -> list[Plan]:
    first = [cell for cell in CELLS if cell.point in FIRST_START]
    expiry = [cell for cell in CELLS if cell.point in EXPIRY]
    sending = [cell for cell in CELLS if cell.point.startswith(AT_LEAST_ONCE)]
    others = [cell for cell in CELLS if cell not in (*first, *expiry, *sending)]
    made = []
    for action in ACTIONS:
        cells = [cell for cell in others if cell.action.split()[0] == action]
        made += [
            Plan(f"{action}-{number}", cells[number::LANES_OF_AN_ACTION])
            for number in range(LANES_OF_AN_ACTION)
        ]
    timeout = {"SCHEDULING_COMPLETION_TIMEOUT": f"{COMPLETION}ms"}
    made.append(Plan("expiry", expiry, settings=timeout))
    # The transactions are the same, but something else is on Kafka when they end.
    sending += [cell for cell in CELLS if cell.point.startswith("publish.pro")]
    made.append(Plan("sending", sending, settings={"SCHEDULING_DELIVERY": "at_least_once"}))
    return made + [Plan(str(cell), [cell], replicas=1) for cell in first]


PLANS = plans()


def run(plan: Plan, folder: Path, servers: tuple[KafkaServer, ValkeyServer, ForkServer]) -> Result:
    """Never raises: what breaks is a problem of the lane."""
    result = Result()
    try:
        with Lane(folder, *servers, plan.replicas, plan.settings) as lane:
            try:
                _try_all(plan, lane, result)
            except Exception:  # noqa: BLE001 - reported where the lane is
                result.problems.append(traceback.format_exc())
            if result.problems:
                result.problems += [each.process.tail(40) for each in lane.replicas]
    except Exception:  # noqa: BLE001
        result.problems.append(traceback.format_exc())
    return result


def _try_all(plan: Plan, lane: Lane, result: Result) -> None:
    is_first = plan.replicas == 1
    if any(cell.action == "unexpected" for cell in plan.cells):
        lane.tolerated = {grpc.StatusCode.INTERNAL}
    if not is_first:
        lane.heal()
        if plan.name != "expiry":
            lane.begin()
    for cell in plan.cells:
        problem = (try_first_start if is_first else try_cell)(lane, cell)
        if problem:
            result.problems.append(problem)
        else:
            result.reached.append(cell)
    result.problems += violations(lane, COMPLETION if plan.name == "expiry" else HOUR)


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest,
    own_kafka: KafkaServer,
    own_valkey: ValkeyServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Result]]:
    """Of all lanes that were asked for, run side by side."""
    ids = {item.name for item in request.session.items}
    chosen = [plan for plan in PLANS if any(each.endswith(f"[{plan.name}]") for each in ids)]
    folder = tmp_path_factory.mktemp("failpoints")
    servers = (own_kafka, own_valkey, shared())
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        runs = {plan.name: pool.submit(run, plan, folder, servers) for plan in chosen}
        yield {name: each.result() for name, each in runs.items()}


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_promises_are_kept_whatever_happens_there(results: dict[str, Result], plan: Plan) -> None:
    result = results[plan.name]
    assert not result.problems, "\n".join(result.problems)
    assert result.reached == plan.cells


def test_every_point_is_tried_in_every_way() -> None:
    planned = {(cell.point, cell.action) for plan in PLANS for cell in plan.cells}
    assert {(point.name, action) for point in POINTS for action in ACTIONS} <= planned
