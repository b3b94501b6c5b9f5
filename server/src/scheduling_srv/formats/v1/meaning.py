"""Whether two definitions of a job mean the same (docs/decisions/0011)."""

from __future__ import annotations

from dataclasses import replace

from scheduling_client.wire import job_pb2 as jobs
from scheduling_srv.domain.definition import Definition


def means_the_same(one: Definition, other: Definition) -> bool:
    """Defaults count as if they were given. The trace does not count."""
    return _meaning(one) == _meaning(other)


def _meaning(definition: Definition) -> object:
    request, properties = definition.request, definition.properties
    job = jobs.Job.FromString(request.rest)
    job.attempts = max(1, job.attempts)
    plain = replace(properties, jitter=properties.jitter or None)
    return request.type, request.data, job.SerializeToString(), definition.spec, plain
