"""`scheduling-srv doctor`: asks Redis and Kafka, before a start, whether all is as it has to be."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import uvloop

from scheduling_srv.adapters.kafka.topics import KafkaTopics
from scheduling_srv.adapters.redis.client import RedisClient
from scheduling_srv.domain.errors import StartError
from scheduling_srv.domain.finding import Finding, Severity, badness
from scheduling_srv.runtime import logs
from scheduling_srv.service import diagnosing, doors
from scheduling_srv.service.diagnosing import Servers
from scheduling_srv.service.from_settings import kafka_config, topic_names
from scheduling_srv.settings.model import Settings

FOUND = 1
"""Exit code for a finding that is bad."""
WORDS = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.UNKNOWN: "unknown",
    Severity.OK: "ok",
}


def doctor(settings: Settings, *, strict: bool, as_json: bool) -> int:
    """Show the findings; returns the exit code. Raises `StartError` for a wrong setting."""
    logs.configure("error", "console")
    found = sorted([*_doors(settings), *uvloop.run(_diagnosed(settings))], key=badness)
    _print_json(found) if as_json else _print(found)
    bad = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    return FOUND if any(each.severity in bad for each in found) else 0


async def _diagnosed(settings: Settings) -> Sequence[Finding]:
    secret = settings.redis_password
    redis = RedisClient(
        settings.redis_url,
        password=secret.get_secret_value() if secret else None,
        shards=settings.shards,
    )
    kafka, topics = kafka_config(settings), topic_names(settings)
    admin = KafkaTopics(kafka, topics, shards=settings.shards, creates=False)
    try:
        servers = Servers(settings, redis, kafka, topics, admin)
        return await diagnosing.before_start(settings, servers).run()
    finally:
        await redis.close()


def _doors(settings: Settings) -> Sequence[Finding]:
    """Whether the ports can be opened as the settings say."""
    check = "service.doors"
    try:
        doors.check_ports(settings)
        doors.build(settings)
    except StartError as fault:
        return [Finding(check, Severity.ERROR, str(fault), "See docs/security.md.")]
    return [Finding(check, Severity.OK, "The ports are protected, or reached from this host only.")]


def _print(found: Sequence[Finding]) -> None:
    width = max(len(each.check) for each in found)
    for check, severity, message, remedy in found:
        sys.stdout.write(f"{WORDS[severity]:<7}  {check:<{width}}  {message}\n")
        if remedy:
            sys.stdout.write(f"{'':<7}  {'':<{width}}  -> {remedy}\n")


def _print_json(found: Sequence[Finding]) -> None:
    rows = [{**each._asdict(), "severity": WORDS[each.severity]} for each in found]
    sys.stdout.write(f"{json.dumps(rows, indent=2)}\n")
