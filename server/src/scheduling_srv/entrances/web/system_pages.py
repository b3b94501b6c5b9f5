"""How the service is set up, and the findings of a diagnosis."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from scheduling_client.api import run_logic, system
from scheduling_client.api.system import Finding
from scheduling_srv.entrances.web.visit import Visit

DIAGNOSIS_SECONDS = 10.0
"""How long a diagnosis is shown again: it asks Redis and Kafka."""


async def overview_of(visit: Visit) -> Response:
    """Settings with their source, versions, findings, topics and shards."""

    async def diagnose() -> Sequence[Finding]:
        return await visit.run(system.diagnose())

    found = await visit.run(system.system())
    return visit.page(
        "system.html",
        system=found,
        findings=await visit.site.fresh.get("diagnosis", DIAGNOSIS_SECONDS, diagnose),
        shards=(await visit.run(run_logic.overview())).shards,
    )
