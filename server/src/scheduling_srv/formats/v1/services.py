"""The services of scheduling.v1 and their methods, as the protos name them."""

from __future__ import annotations

from scheduling_client.wire.v1 import (
    dead_letter_service_pb2,
    event_service_pb2,
    job_service_pb2,
    run_service_pb2,
    system_service_pb2,
)

_FILES = (
    job_service_pb2,
    run_service_pb2,
    event_service_pb2,
    dead_letter_service_pb2,
    system_service_pb2,
)
_SERVICES = [each for file in _FILES for each in file.DESCRIPTOR.services_by_name.values()]
METHODS = {each.full_name: [method.name for method in each.methods] for each in _SERVICES}
"""Service -> its methods."""
