"""ExplainJob of scheduling.v1, from bytes and to bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scheduling_client.wire.v1 import run_service_pb2 as service
from scheduling_srv.domain.errors import InvalidRequest, Violation
from scheduling_srv.domain.explanation.reasons import Explained, Verdict
from scheduling_srv.formats.parsing import parse_whole
from scheduling_srv.formats.v1.run_answers import run_of
from scheduling_srv.formats.v1.specs import field_named
from scheduling_srv.formats.v1.times import duration_of, instant_of, timestamp_of

NO_ID = "Job id not specified."
_VERDICTS = {
    each: service.Explanation.Verdict.Value(f"VERDICT_{each.name if each else 'UNSPECIFIED'}")
    for each in Verdict
}


class ExplainCall(NamedTuple):
    """An ExplainJobRequest."""

    job_id: str
    at: int | None
    """None: the last or the next run."""


def decode_explain(raw: bytes) -> ExplainCall:
    """An ExplainJobRequest. Raises `InvalidRequest` and `TooLarge`."""
    request = parse_whole(service.ExplainJobRequest, raw)
    if not request.job_id:
        raise InvalidRequest(NO_ID, [Violation("job_id", NO_ID)])
    if not request.HasField("at"):
        return ExplainCall(request.job_id, None)
    with field_named("at"):
        return ExplainCall(request.job_id, instant_of(request.at))


def encode_explained(found: Explained, sentences: Sequence[str]) -> bytes:
    """An ExplainJobResponse."""
    message = service.Explanation(
        verdict=_VERDICTS[found.verdict], sentences=sentences, owner=found.owner
    )
    if found.run is not None:
        message.run.CopyFrom(run_of(found.run))
    if found.late is not None:
        message.lateness.CopyFrom(duration_of(found.late))
    for field, instant in ((message.before, found.before), (message.after, found.after)):
        if instant is not None:
            field.CopyFrom(timestamp_of(instant))
    return service.ExplainJobResponse(explanation=message).SerializeToString()
