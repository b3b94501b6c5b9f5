"""The commands that show the setup of the service, and its faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scheduling_client.cli.errors import Exit
from scheduling_client.cli.options import Common, resolve
from scheduling_client.cli.output import Columns, say, show_item, show_list

if TYPE_CHECKING:
    from scheduling_client.api.system import Finding

COLUMNS: Columns = {
    "SEVERITY": "severity",
    "CHECK": "check",
    "FINDING": "message",
    "REMEDY": "remedy",
}
SETTINGS: Columns = {"SETTING": "name", "VALUE": "value", "SOURCE": "source"}
TOPICS: Columns = {"TOPIC": "name", "PARTITIONS": "partitions", "PURPOSE": "purpose"}


def doctor(*, strict: bool = False, common: Common | None = None) -> int:
    """Check Redis, Kafka, rights and clocks of a service that runs, and say how to mend faults.

    Exits with 1 if a promise cannot be kept. `scheduling-srv doctor` does it before a start.

    Parameters
    ----------
    strict
        Exit with 1 also if a promise is at risk.
    """
    options = resolve(common)
    from scheduling_client.api.system import Severity  # noqa: PLC0415 - it imports gRPC
    from scheduling_client.cli.clients import client  # noqa: PLC0415

    with client(options) as service:
        found = service.diagnose()
    show_list([_item(each) for each in found], COLUMNS, options.output, name="check")
    bad = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    return Exit.FAILED if any(each.severity in bad for each in found) else Exit.DONE


def _item(found: Finding) -> dict[str, Any]:
    return {**found._asdict(), "severity": found.severity.name}


def system(*, changed: bool = False, common: Common | None = None) -> None:
    """Show how the service is set up: versions, settings with their sources, topics, shards.

    Parameters
    ----------
    changed
        Only the settings that are not by default.
    """
    options = resolve(common)
    from scheduling_client.cli.clients import client  # noqa: PLC0415 - it imports gRPC

    with client(options) as service:
        found = service.system()
    kept = [each for each in found.settings if not changed or each.source != "default"]
    settings = [_setting(each.name, each.value, each.source, each.secret) for each in kept]
    versions = {
        "version": found.version,
        "python": found.python_version,
        "tzdata": found.tzdata_version,
        "namespace": found.namespace,
        "shards": found.shards,
    }
    topics = [each._asdict() for each in found.topics]
    if options.output != "table":
        document = {**versions, "settings": settings, "topics": topics}
        show_item(document, options.output, name="namespace")
        return
    show_item(versions, options.output)
    say()
    show_list(topics, TOPICS, options.output)
    say()
    show_list(settings, SETTINGS, options.output)


def _setting(name: str, value: str, source: str, secret: bool) -> dict[str, Any]:  # noqa: FBT001 - fields of a tuple
    return {"name": name, "value": "(hidden)" if secret else value, "source": source}
