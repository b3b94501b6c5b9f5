"""GetOverview of scheduling.v1, from and to bytes."""

from __future__ import annotations

from scheduling_client.wire.v1 import system_service_pb2 as service
from scheduling_srv.domain.overview import Minute, Overview
from scheduling_srv.formats.parsing import parse_whole
from scheduling_srv.formats.v1.times import duration_of, timestamp_of

SYSTEM_SERVICE = service.DESCRIPTOR.services_by_name["SystemService"].full_name


def decode_overview(raw: bytes) -> None:
    """A GetOverviewRequest. It says nothing. Raises `InvalidRequest`."""
    parse_whole(service.GetOverviewRequest, raw)


def encode_overview(found: Overview) -> bytes:
    """A GetOverviewResponse."""
    shards = [
        service.Shard(number=each.shard, owner=each.name, oldest_due=duration_of(each.late))
        for each in found.owners
    ]
    return service.GetOverviewResponse(
        counts=service.Counts(**found.counts._asdict()),
        minutes=map(_minute_of, found.minutes),
        due=found.due,
        shards=shards,
        health=service.Health(serving=found.serving, reasons=found.reasons),
        lag=found.lag,
    ).SerializeToString()


def _minute_of(minute: Minute) -> service.Minute:
    return service.Minute(
        time=timestamp_of(minute.time),
        emitted=minute.emitted,
        done=minute.done,
        failed=minute.failed,
        skipped=minute.skipped,
        mean_lateness=duration_of(minute.mean_lateness),
        max_lateness=duration_of(minute.latest),
    )
