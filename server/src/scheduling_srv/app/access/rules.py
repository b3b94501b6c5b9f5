"""The role that each method needs, by its full name: one table for gRPC and HTTP.

A method that is not listed is refused. A test compares the table with all protos, all registered
services and all pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from scheduling_srv.app.access.callers import Role


class Rule(NamedTuple):
    """Who may call a method."""

    role: Role
    limited: bool = False
    """Whether the method keeps to the limits of a caller. Others refuse limited callers."""
    health: bool = False
    """Whether it is open to all while SCHEDULING_OPEN_HEALTH is on."""


READ, RULE = Rule(Role.READER), Rule(Role.ADMIN)
READ_OWN, CHANGE_OWN = Rule(Role.READER, limited=True), Rule(Role.OPERATOR, limited=True)
ABOUT_SERVICE = Rule(Role.READER, limited=True)
"""It tells nothing of jobs, so limits do not matter."""
HEALTH = Rule(Role.READER, limited=True, health=True)

_SERVICES: Mapping[str, Mapping[Rule, str]] = {
    "io.restorecommerce.job.Service": {
        READ_OWN: "Read",
        CHANGE_OWN: "Create Update Upsert Delete",
    },
    # Which command it is decides: see COMMANDS.
    "io.restorecommerce.commandinterface.Service": {ABOUT_SERVICE: "Command"},
    "scheduling.v1.JobService": {
        READ_OWN: "GetJobs ListJobs ListPausedTypes ListUpcoming PreviewSchedule",
        CHANGE_OWN: "CreateJobs UpdateJob DeleteJobs PauseJobs ResumeJobs PauseType ResumeType"
        " RunJobs BackfillJob",
    },
    "scheduling.v1.RunService": {
        READ_OWN: "ListRuns ListFailures ExplainJob",
        CHANGE_OWN: "CancelRuns RetryRuns ExtendRun",
    },
    "scheduling.v1.EventService": {READ_OWN: "WatchEvents"},
    "scheduling.v1.SystemService": {READ: "GetOverview GetSystem Diagnose"},
    "scheduling.v1.DeadLetterService": {
        RULE: "ListDeadLetters GetDeadLetter ReplayDeadLetters HideDeadLetters",
    },
    "grpc.health.v1.Health": {HEALTH: "Check List Watch"},
    "grpc.reflection.v1alpha.ServerReflection": {ABOUT_SERVICE: "ServerReflectionInfo"},
}
_PAGES: Mapping[Rule, str] = {
    HEALTH: "/livez /readyz",
    ABOUT_SERVICE: "/ /metrics /readyz?verbose",
}


def _all() -> Iterator[tuple[str, Rule]]:
    for service, rules in _SERVICES.items():
        for rule, methods in rules.items():
            yield from ((f"/{service}/{method}", rule) for method in methods.split())
    for rule, pages in _PAGES.items():
        yield from ((f"GET {page}", rule) for page in pages.split())


RULES: Mapping[str, Rule] = dict(_all())
"""By `/package.Service/Method`, and by `GET /page`."""
COMMANDS: Mapping[str, Role] = {
    "health_check": Role.READER,
    "version": Role.READER,
    "restore": Role.ADMIN,
    "reset": Role.ADMIN,
    "advance": Role.OPERATOR,  # it runs jobs before their time, as RunJobs does
}
"""The role that each system command needs; a test compares the names."""
